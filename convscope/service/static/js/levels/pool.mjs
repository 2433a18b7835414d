/** One number of a pooling: the window, and its winner or its mean. */

import { poolCell } from '../arithmetic.mjs';
import { scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { dims, num } from '../format.mjs';
import { numberTable } from '../grid.mjs';
import { hero, panel } from '../parts.mjs';
import { beside, cellAt, follow, moving, still } from './cell.mjs';

const TABLE = 8; // rows and columns of the largest window shown as numbers

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, node, place } = context;
  const img = place.img;
  const [input, output] = await Promise.all([api.output(img, node.inputs[0]), api.output(img, node.id)]);
  const { cell: [c, i = 0, j = 0], index, id, name } = cellAt(context);
  const cell = poolCell(input, node, [c, i, j]);
  const { terms, winner, divisor } = cell;
  const rows = new Set(terms.map(({ y }) => y)).size, columns = terms.length / rows;
  const around = (from, to = from) => ({ top: from.y, left: from.x, bottom: to.y + 1, right: to.x + 1 });
  const best = winner === null ? null : terms[winner];
  const values = terms.map((term) => term.input);
  const most = best ?? terms.reduce((one, term) => Math.abs(term.input) > Math.abs(one.input) || one.padded ? term : one);
  const table = Math.max(rows, columns) <= TABLE && numberTable({
    data: values, rows, cols: columns, scale: scaleOf(values), caption: `the window, ${dims([rows, columns])}`, outside: (r, k) => terms[r * columns + k].padded,
    cell: (td, r, k) => { if (r * columns + k === winner) td.classList.add('winner'); },
  });
  const said = best ? ['The largest, ', h('strong', {}, num(best.input)), `, stands at row ${best.y}, column ${best.x} and goes on as it is; the others of the ${terms.length} are forgotten.`]
    : ['The sum of the window, ', h('strong', {}, num(values.reduce((a, b) => a + b, 0), { wide: true })), `, over ${divisor}. The furthest from zero leads on down.`];
  host.append(
    beside(hero({ value: output.data[index], ...cell }, id, name), still(input, c, 'before', best && !table ? around(best) : around(terms[0], terms.at(-1))), '→',
      moving(context, output, 'y', node.kind.startsWith('global') ? 'one number is left' : 'after')),
    panel(context, 'window', 'The window', table, h('p.note', {}, said), follow(context, node.inputs[0], [c, most.y, most.x])));
  context.field(output.shape.length === 3 ? node.id : null, i, j);
}
