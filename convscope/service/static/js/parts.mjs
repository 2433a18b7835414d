/** What every level shows alike: the number with its proof, facts, legend, panel. */

import { css } from './colour.mjs';
import { h } from './dom.mjs';
import { exact32, minus, num, power } from './format.mjs';

/**
 * The cell in focus: the model's number, large, and beside it the browser's own sum with difference and bound.
 * @param {{value: number, sum: number, bound: number}} result `value` as the server computed it (float32), `sum` in float64 here
 * @param {string} cell `node:c,y,x` @param {any} name what the number is, e.g. "channel 7 at 4, 9"
 */
export function hero({ value, sum, bound }, cell, name) {
  const off = Math.abs(sum - value), holds = off <= bound;
  return h('.hero', { id: 'focus', 'data-value': value, 'data-sum': sum, 'data-bound': bound, 'data-cell': cell },
    h('p.eyebrow', {}, name),
    h('p.number', { title: exact32(value) }, num(value, { places: 5 })),
    facts([
      ['the model, float32', minus(exact32(value))], ['summed here, float64', minus(String(sum))],
      ['difference', [power(off), h(holds ? 'span.holds' : 'span.breaks', {},
        !off ? ' ✓ equal' : `${holds ? ' ✓ equal within' : ' ✗ beyond'} rounding, ${power(bound)}`)]],
    ], 'proof'));
}

/** @param {any[][]} rows each a name and a value @param {string} [look] */
export const facts = (rows, look = 'facts') => h(`dl.${look}`, {}, rows.map(([k, v]) => h('div', {}, h('dt', {}, k), h('dd', {}, v))));

/** The signed scale with its ends. @param {number} scale @param {string} [what] */
export function legend(scale, what = '') {
  const steps = Array.from({ length: 17 }, (_, i) => h('i', { style: { background: css((i - 8) / 8, 1) } }));
  return h('.legend', { role: 'img', 'aria-label': `colour scale from ${num(-scale)} (blue) over zero to ${num(scale, { sign: true })} (orange)` },
    h('span', {}, num(-scale, { places: 2 })), h('span.scale', {}, steps), h('span', {}, num(scale, { places: 2, sign: true })), what && h('span.quiet', {}, what));
}

/**
 * A titled part of a level, which the address can hide (`hide=im2col,…`).
 * @param {{place: {hide?: string}}} context @param {string} id @param {string} title
 */
export function panel(context, id, title, ...children) {
  const hidden = (context.place.hide ?? '').split(',').includes(id);
  return h('section.panel', { id: `panel-${id}`, hidden }, h('h2', {}, title), children);
}

/**
 * One of several choices. @param {string} label @param {any[][]} choices value and text
 * @param {string | number | undefined} chosen @param {(value: string) => void} pick
 */
export const chips = (label, choices, chosen, pick) => h('.chips', { role: 'group', 'aria-label': label },
  choices.map(([value, text]) => h('button.chip', { type: 'button', id: `chip-${label.replace(/\W/g, '')}-${value}`, 'aria-pressed': String(String(value) === String(chosen)), onclick: () => pick(value) }, text)));

/**
 * The long sum on one line: parts with operators between them. @param {...any} parts strings and numbers; a number is shown
 * as a term
 */
export const sumLine = (...parts) => h('p.sum', {}, parts.map((part) => typeof part === 'number' ? h('span.term', {}, num(part)) : typeof part === 'string' ? h('span.op', {}, part) : part));

/**
 * What the products of a cell come to, and its bias. @param {string} products @param {{sum: number, bias: number | null}} result
 * @param {number} value
 */
export const summed = (products, { sum, bias }, value) => sumLine(h('span', {}, products), ' sum to ', h('b', {}, num(sum - (bias ?? 0), { wide: true })),
  ...bias === null ? ['; there is no bias'] : [bias < 0 ? ' − bias ' : ' + bias ', Math.abs(bias), ' = ', h('b', {}, num(value))]);

/** One of many choices. @param {string} label @param {any[][]} options value and text @param {(value: string) => void} pick */
export const choice = (label, chosen, options, pick) => h('label.choice', {}, h('span.quiet', {}, label),
  h('select', { id: `choose-${label.split(' ')[0]}`, onchange: (event) => pick(event.target.value) }, options.map(([value, text]) => h('option', { value, selected: String(value) === String(chosen) }, text))));
