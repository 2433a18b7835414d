/** One number of a linear layer: every feature times its weight, summed, and the bias. */

import { linearCell } from '../arithmetic.mjs';
import { css, ink, scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { count, num } from '../format.mjs';
import { hero, panel, summed } from '../parts.mjs';
import { waterfall } from '../waterfall.mjs';
import { origin } from './features.mjs';
import { siblings } from './locator.mjs';

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, node, place } = context;
  const img = place.img, o = place.c ?? 0;
  const [output, input, weight, bias] = await Promise.all([
    api.output(img, node.id), api.output(img, node.inputs[0]), api.tensor(node.id, 'weight'), node.tensors.bias ? api.tensor(node.id, 'bias') : null,
  ]);
  if (o >= output.shape[0]) throw new Error(`${node.id} gives ${output.shape[0]} numbers: it has no number ${o}`);
  const value = output.data[o], result = linearCell(input, weight, bias, o);
  const scales = { input: scaleOf(input.data), weight: scaleOf(result.terms.map((t) => t.weight)), product: scaleOf(result.terms.map((t) => t.product)) };
  const from = origin(context);
  const chip = (v, scale) => h('span.value', { style: { background: css(v, scale), color: ink(v, scale) } }, num(v, { places: 3 }));
  const terms = result.terms.map((t) => ({ key: t.c, value: t.product, cells: () => [
    from.name(t.c), h('span.trio', {}, chip(t.input, scales.input), '×', chip(t.weight, scales.weight)),
  ] }));
  host.append(
    hero({ value, sum: result.sum, bound: result.bound }, `${node.id}:${o}`, h('span', {}, `${node.id}, `, siblings(context, output.shape[0]))),
    summed(`${count(terms.length)} products`, result, value),
    panel(context, 'sum', `Summed over ${count(terms.length)} features`, waterfall({
      terms, heads: ['feature', 'value × weight'], last: result.bias === null ? null : ['bias', result.bias], words: ['feature', 'features'], label: 'terms of the sum: Enter follows one', few: 16, selected: -1, onselect: () => {}, onopen: ({ key }) => from.open(key),
    })));
  context.field(null);
}
