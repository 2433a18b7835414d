/** One number on the way back: the gradient that arrives, its share of each weight's gradient, what it gives to its input. */

import { convCell, inputGradient, scatter, weightGradient } from '../arithmetic.mjs';
import { scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { dims, num } from '../format.mjs';
import { numberTable } from '../grid.mjs';
import { choice, hero, panel } from '../parts.mjs';
import { beside, cellAt, check, moving, row, still, titleOf } from './cell.mjs';
import { contributions } from './contributions.mjs';

/** @typedef {import('../main.mjs').Context} Context */

/** @param {HTMLElement} host @param {Context} context */
export async function show(host, context) {
  const { api, graph, node, place, go } = context;
  const img = place.img;
  const target = place.target ?? (await api.run(img)).index;
  const gradient = await api.gradient(img, node.id, target);
  const { cell, index, id, name } = cellAt(context);
  const arriving = await Promise.all(graph.nodes.flatMap((after) => after.inputs.map((from) => from === node.id && after)).filter(Boolean).map((after) => through(context, after, target, cell)));
  const value = gradient.data[index];
  const sum = arriving.length ? arriving.reduce((all, part) => all + (part.found?.sum ?? NaN), 0) : Number(cell[0] === target);
  const bound = arriving.reduce((all, part) => all + (part.found?.bound ?? NaN), 0) + (arriving.length > 1 ? arriving.length * 2 ** -24 * arriving.reduce((all, part) => all + Math.abs(part.found?.sum ?? 0), 0) : 0);
  host.append(
    beside(hero({ value, sum, bound }, id, `how the logit of ${graph.classes[target]} changes with ${name}`), moving(context, gradient, 'gradient', `gradient of ${node.shape.length === 3 ? `channel ${cell[0]}` : 'all of them'}`)),
    choice('class', target, graph.classes.map((text, k) => [k, text]), (to) => go({ target: Number(to) }, { replace: true })),
    panel(context, 'arriving', 'What arrives here', ...(arriving.length ? arriving.map((part) => arrival(context, part)) : [h('p.note', {}, `This is the end: a logit changes with itself by 1, with the others by 0.`)])),
    ...await shares(context, gradient, target));
  context.field(node.shape.length === 3 ? node.id : null, place.y, place.x);
}

/** What comes back through one of the layers that took this output. @param {Context} context @param {number} target @param {number[]} cell */
async function through({ api, node, place }, after, target, cell) {
  const img = place.img;
  const held = (name) => name in after.tensors ? api.tensor(after.id, name) : null;
  const [gradient, input, weight, variance] = await Promise.all([api.gradient(img, after.id, target), api.output(img, node.id), held('weight'), held('running_var')]);
  return { after, found: inputGradient(after, /** @type {any} */ ({ gradient, input, weight, variance }), cell) };
}

/** @param {Context} context */
function arrival({ go }, { after, found }) {
  if (!found) return h('p.note', {}, `${after.id} is a ${after.type}: this page does not know how it passes gradients back.`);
  const open = (key) => { const [c, y, x] = found.terms[key].from; go({ layer: after.id, c, y, x, level: 'backward' }); };
  return contributions({
    id: `through-${after.id}`, columns: [`from ${after.id}`, 'gradient there', FACTORS[after.kind] ?? 'factor', 'product'], open, shown: 8,
    rows: found.terms.map((term, key) => ({ key, name: titleOf(term.from), cells: [term.gradient, term.factor], product: term.product })),
    caption: found.terms.length ? `${found.terms.length === 1 ? 'One product comes' : `${found.terms.length} products come`} to ${num(found.sum, { wide: true })}.` : 'Nothing: another number won in every window.',
  });
}

const FACTORS = {
  conv: 'weight', linear: 'weight', batchnorm: 'γ / √(σ² + ε)', activation: 'slope', maxpool: '1 where it won', globalmax: '1 where it won', avgpool: '1 / cells', globalavg: '1 / cells', add: 'passed on', flatten: 'moved', dropout: 'passed on',
};

/** Of a convolution: the share in a kernel's gradient, and col2im. @param {Context} context @param {import('../api.mjs').Tensor} gradient @param {number} target */
async function shares(context, gradient, target) {
  const { api, node, place, go } = context;
  if (node.kind !== 'conv') return [];
  const img = place.img;
  const [input, weight, whole, back] = await Promise.all([api.output(img, node.inputs[0]), api.tensor(node.id, 'weight'), api.gradient(img, node.id, target, 'weight'), api.gradient(img, node.inputs[0], target)]);
  const { cell, index } = cellAt(context);
  const [o] = cell, [, inside, rows, cols] = weight.shape;
  const k = Math.min(place.from ?? 0, inside - 1);
  const arrived = gradient.data[index];
  const terms = scatter(arrived, convCell(input, weight, null, node.settings, cell)).slice(k * rows * cols, (k + 1) * rows * cols);
  const start = (o * inside + k) * rows * cols;
  const table = (data, caption, more = {}) => numberTable({ data, rows, cols, scale: scaleOf(data), caption, ...more });
  const outside = (r, c) => terms[r * cols + c].padded;
  const all = Array.from(whole.data.subarray(start, start + rows * cols));
  const checks = (td, u, v, value) => check(td, `${node.id}.weight:${o},${k},${u},${v}`, value, weightGradient(input, gradient, node.settings, weight.shape, [o, k, u, v]));
  const choose = choice('input channel', k, Array.from({ length: inside }, (_, n) => [n, n]), (to) => go({ from: Number(to) }, { replace: true }));
  const here = () => h('.stack', {}, h('span.number-small', {}, num(arrived)), h('span.quiet', {}, 'gradient here'));
  const last = terms[terms.length - 1];
  const frame = { top: Math.max(0, terms[0].y), left: Math.max(0, terms[0].x), bottom: Math.min(input.shape[1], last.y + 1), right: Math.min(input.shape[2], last.x + 1) };
  const [, high, wide] = node.shape;
  return [
    panel(context, 'share', 'Its share of each weight’s gradient', choose, row(
      here(), '×', table(terms.map((term) => term.input), 'the patch it looked at', { outside }), '=', table(terms.map((term) => term.input * arrived), 'its share', { outside })),
      h('p.note', {}, `All ${high * wide} places of channel ${o} share these weights; their shares sum to the gradient of kernel ${o}, slice ${k}:`), table(all, `∂logit/∂w, ${dims([rows, cols])}`, { cell: checks })),
    panel(context, 'col2im', 'What it gives back to its input: col2im', row(
      here(), '×', table(terms.map((term) => term.weight), `kernel ${o}, slice ${k}`), '=', table(terms.map((term) => term.product), 'given back', { outside })),
      h('p.note', {}, 'Each output gives such a patch to every channel of its input, at its own place; where patches overlap they are added, which is im2col backwards. What comes back over a shortcut is added as well.'),
      still(back, terms[0].c, `gradient of ${node.inputs[0]}, channel ${terms[0].c}`, frame)),
  ];
}
