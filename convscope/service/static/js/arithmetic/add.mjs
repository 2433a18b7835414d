// Two numbers in; their sum out: the shortcut's addition.

import { total } from './rounding.mjs';

/**
 * @param {number} branch
 * @param {number} shortcut
 */
export const addCell = (branch, shortcut) => ({ ...total([branch, shortcut], 1), terms: [branch, shortcut] });
