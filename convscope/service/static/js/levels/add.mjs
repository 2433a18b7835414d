/** One number of a shortcut's addition: what the branch computed plus what was carried past it. */

import { addCell } from '../arithmetic.mjs';
import { h } from '../dom.mjs';
import { num } from '../format.mjs';
import { hero, panel, sumLine } from '../parts.mjs';
import { cellAt, moving, row } from './cell.mjs';

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, node, place, go } = context;
  const img = place.img;
  const ids = [node.inputs[0], node.inputs[1] ?? node.inputs[0]]; // x + x has one source
  const [branch, shortcut, output] = await Promise.all([...ids, node.id].map((from) => api.output(img, from)));
  const { index, id, name } = cellAt(context);
  const cell = addCell(branch.data[index], shortcut.data[index]);
  const scale = Math.max(...[branch, shortcut, output].map(({ data }) => largest(data, output.shape, index)));
  const map = (what, tensor, from) => moving(context, tensor, what, what === 'sum' ? what : [what, h('button.quiet-button.way', { type: 'button', id: `to-${what}`, onclick: () => go({ layer: from }) }, from.replaceAll('.', '.\u200b'))], { scale });
  host.append(
    hero({ value: output.data[index], ...cell }, id, name),
    sumLine(cell.terms[0], ' + ', cell.terms[1], ' = ', h('strong', {}, num(cell.sum, { wide: true }))),
    panel(context, 'maps', 'All three, on one scale', row(map('branch', branch, ids[0]), '+', map('shortcut', shortcut, ids[1]), '=', map('sum', output))));
  context.field(node.shape.length === 3 ? node.id : null, place.y, place.x);
}

/** The largest magnitude in the channel of a cell. @param {Float32Array} data @param {number[]} shape @param {number} index */
function largest(data, [, height = 1, width = 1], index) {
  const size = height * width, start = Math.floor(index / size) * size;
  return data.subarray(start, start + size).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
}
