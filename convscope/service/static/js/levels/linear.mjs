/** One number of a linear layer: every feature times its weight, summed, and the bias. */

import { linearCell } from '../arithmetic.mjs';
import { css, ink, scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { count, num } from '../format.mjs';
import { hero, panel } from '../parts.mjs';
import { waterfall } from '../waterfall.mjs';
import { siblings } from './locator.mjs';

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, node, place, graph, go } = context;
  const img = place.img, o = place.c ?? 0;
  const [output, input, weight, bias] = await Promise.all([
    api.output(img, node.id), api.output(img, node.inputs[0]), api.tensor(node.id, 'weight'), node.tensors.bias ? api.tensor(node.id, 'bias') : null,
  ]);
  if (o >= output.shape[0]) throw new Error(`${node.id} gives ${output.shape[0]} numbers: it has no number ${o}`);
  const value = output.data[o], result = linearCell(input, weight, bias, o);
  const scales = { input: scaleOf(input.data), weight: scaleOf(result.terms.map((t) => t.weight)), product: scaleOf(result.terms.map((t) => t.product)) };
  const from = placeOf(graph, node);
  const chip = (v, scale) => h('span.value', { style: { background: css(v, scale), color: ink(v, scale) } }, num(v, { places: 3 }));
  const terms = result.terms.map((t) => ({ key: t.c, value: t.product, cells: () => [
    from.name(t.c), h('span.trio', {}, chip(t.input, scales.input), '×', chip(t.weight, scales.weight)),
  ] }));
  host.append(
    hero({ value, sum: result.sum, bound: result.bound }, `${node.id}:${o}`, h('span', {}, `${node.id}, `, siblings(context, output.shape[0]))),
    h('p.sum', {}, `${count(terms.length)} products`, h('span.op', {}, ' sum to '), h('b', {}, num(result.sum - (result.bias ?? 0), { wide: true })),
      result.bias === null ? h('span.op', {}, '; there is no bias') : [h('span.op', {}, result.bias < 0 ? ' − bias ' : ' + bias '), h('b', {}, num(Math.abs(result.bias))), h('span.op', {}, ' = '), h('b', {}, num(value))]),
    panel(context, 'sum', `Summed over ${count(terms.length)} features`, waterfall({
      terms, heads: ['feature', 'value × weight'], last: result.bias === null ? null : ['bias', result.bias], words: ['feature', 'features'], label: 'terms of the sum: Enter follows one', few: 16, selected: -1, onselect: () => {}, onopen: ({ key }) => go(from.place(key)),
    })));
  context.field(null);
}

/** Where a feature lay before it was flattened: its name, and the way there. @param {import('../api.mjs').Graph} graph @param {any} node */
function placeOf(graph, node) {
  const find = (id) => graph.nodes.find((n) => n.id === id);
  let before = find(node.inputs[0]);
  while (before && (before.kind === 'dropout' || before.kind === 'flatten')) before = find(before.inputs[0]);
  const [, height, width] = before?.shape ?? [], size = height * width, flat = before?.shape.length !== 3;
  return {
    name: (i) => flat ? `number ${i}` : size === 1 ? `channel ${i}` : `channel ${Math.floor(i / size)} at ${Math.floor(i % size / width)}, ${i % width}`,
    place: (i) => ({ layer: before?.id, level: undefined, ...(flat ? { c: i, y: undefined, x: undefined } : { c: Math.floor(i / size), y: Math.floor(i % size / width), x: i % width }) }),
  };
}
