// Logits in; probabilities, step by step, out.

import { UNIT } from './rounding.mjs';

/**
 * e^(z − max) / Σ e^(z − max) for every class: `terms` holds what is exponentiated, `exponentials` and their `divisor`.
 *
 * Rounding z − max by u turns e^(z − max) by u·|z − max|; exp, the sum and the division add a unit each and one a class.
 * @param {ArrayLike<number>} logits
 * @returns {{shifted: number[], exponentials: number[], divisor: number, cells: {sum: number, bound: number}[]}}
 */
export function softmax(logits) {
  const z = Array.from(logits);
  const peak = Math.max(...z);
  const shifted = z.map((value) => value - peak);
  const exponentials = shifted.map(Math.exp);
  const divisor = exponentials.reduce((sum, value) => sum + value, 0);
  const turned = exponentials.reduce((sum, value, k) => sum + value * Math.abs(shifted[k]), 0) / divisor;
  const cells = exponentials.map((value, k) => {
    const doubt = (Math.abs(shifted[k]) + turned + z.length + 6) * UNIT;
    return { sum: value / divisor, bound: (value / divisor) * doubt * (1 + doubt) + 2 ** -126 };
  });
  return { shifted, exponentials, divisor, cells };
}
