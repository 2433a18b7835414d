/** One number of a layer that moves numbers and changes none: where it comes from. */

import { h } from '../dom.mjs';
import { num } from '../format.mjs';
import { hero, sumLine } from '../parts.mjs';
import { beside, cellAt, follow, moving, still } from './cell.mjs';

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, node, place } = context;
  const img = place.img;
  const [input, output] = await Promise.all([api.output(img, node.inputs[0]), api.output(img, node.id)]);
  const { index, id, name } = cellAt(context);
  const from = [];
  for (let rest = index, axis = input.shape.length - 1; axis >= 0; rest = Math.floor(rest / input.shape[axis--])) from.unshift(rest % input.shape[axis]);
  const [c, y, x] = from;
  const [, height, width] = input.shape;
  const moved = input.shape.length !== output.shape.length;
  host.append(
    beside(hero({ value: output.data[index], sum: input.data[index], bound: 0 }, id, name),
      moved ? still(input, c, `channel ${c}, before`, { top: y, left: x, bottom: y + 1, right: x + 1 }) : moving(context, input, 'x', 'before'), '→', moving(context, output, 'y', moved ? 'the vector, in rows' : 'after')),
    moved ? sumLine(`channel ${c} · ${height} rows · ${width} columns + row ${y} · ${width} columns + column ${x} = number `, h('strong', {}, index)) : h('p.sum', {}, `The number before, ${num(input.data[index])}, unchanged.`),
    h('p', {}, follow(context, node.inputs[0], from)));
  context.field(null);
}
