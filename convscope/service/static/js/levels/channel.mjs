/** One channel: its map, what went in, its kernel slice by slice to edit, its receptive field on the picture. */

import { convCell, convMap } from '../arithmetic.mjs';
import { paint, scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { list, MOST, set } from '../edits.mjs';
import { exact32, minus, num } from '../format.mjs';
import { mapGrid, rove } from '../grid.mjs';
import { legend, panel } from '../parts.mjs';
import { check, row, still } from './cell.mjs';
import { heading } from './layer.mjs';
import { siblings } from './locator.mjs';

/** @typedef {import('../main.mjs').Context} Context */

/** @param {HTMLElement} host @param {Context} context */
export async function show(host, context) {
  const { api, node, place, go, announce, graph, came } = context;
  const img = place.img, c = place.c ?? 0;
  const [output, ...inputs] = await Promise.all([node.id, ...node.inputs].map((id) => api.output(img, id)));
  const [channels, height, width] = output.shape;
  if (c >= channels) throw new Error(`${node.id} has ${channels} channels: there is no channel ${c}`);
  const [weight, bias] = await parameters(context);
  const again = (y, x) => weight ? convCell(inputs[0], weight, bias, node.settings, [c, y, x]) : null;
  const start = c * height * width, data = output.data.subarray(start, start + height * width), scale = scaleOf(data);
  const from = came.layer === node.id && came.c === c ? came : place;
  const at = /** @type {[number, number]} */ ([from.y ?? Math.floor(height / 2), from.x ?? Math.floor(width / 2)]);
  const map = mapGrid({
    data, height, width, scale, label: `channel ${c} of ${node.id}: arrows move, Enter opens a number`, id: 'cell', at, size: 460,
    onmove: (y, x, v) => { announce(`row ${y}, column ${x}: ${num(v)}`); reading(y, x, v); },
    onhover: (y, x, v) => reading(y, x, v),
    onopen: (y, x) => go({ y, x, level: undefined }),
    mark: (cell, y, x, v) => check(cell, `${node.id}:${c},${y},${x}`, v, again(y, x)),
  });
  const said = h('figcaption', {});
  const reading = (y, x, v) => {
    said.replaceChildren(h('b', {}, num(v)), ` at row ${y}, column ${x}`);
    context.field(node.id, y, x);
  };
  const same = inputs.map((tensor, i) => ({ tensor, id: node.inputs[i] })).filter(({ tensor }) => tensor.shape.length === 3 && tensor.shape[0] === channels && node.kind !== 'conv');
  host.append(heading(context, siblings(context, channels)),
    h('.channel', {},
      h('figure.main-map', {}, map, said, legend(scale)),
      h('.beside', {},
        node.kind === 'conv' ? await kernel(context, inputs[0], output, map, scale) : null,
        same.length ? panel(context, 'before', same.length > 1 ? 'What it adds' : 'The same channel before', row(...same.flatMap(({ tensor, id }, i) => [...i ? ['+'] : [], still(tensor, c, id)]))) : null,
        node.kind === 'input' ? h('p.note', {}, `Mean ${num(graph.mean[c])} and deviation ${num(graph.std[c])} of the training pictures bring the bytes to this scale.`) : null)));
  reading(...at, data[at[0] * width + at[1]]);
}

/** A convolution's weight and bias, null where there is none. @param {Context} context */
const parameters = ({ api, node }) => Promise.all(['weight', 'bias'].map((name) => node.kind === 'conv' && node.tensors[name] ? api.tensor(node.id, name) : null));

/** The kernel's slices, and the one in focus as numbers to edit. @param {Context} context @param {import('../api.mjs').Tensor} input @param {import('../api.mjs').Tensor} output @param {any} map @param {number} scale */
async function kernel(context, input, output, map, scale) {
  const { node, place, go, announce } = context, c = place.c ?? 0;
  const [weight, bias] = /** @type {[import('../api.mjs').Tensor, any]} */ (await parameters(context));
  const [outside, inside, kh, kw] = weight.shape, size = kh * kw, start = c * inside * size;
  const first = Math.floor(c / (outside / (node.settings.groups ?? 1))) * inside;
  const own = weight.data.slice(start, start + inside * size), kScale = scaleOf(own);
  const norms = Array.from({ length: inside }, (_, i) => own.subarray(i * size, (i + 1) * size).reduce((sum, w) => sum + w * w, 0));
  let slice = Math.min(inside - 1, Math.max(0, (place.from ?? first + norms.indexOf(Math.max(...norms))) - first));
  const tiles = norms.map((_, i) => {
    const canvas = h('canvas.pixels', { 'aria-hidden': 'true', style: { '--ratio': kw / kh } });
    paint(canvas, own, kh, kw, kScale, i * size);
    return h('.slice', { role: 'gridcell', id: `slice-${i}`, 'aria-label': `slice of channel ${first + i}`, 'aria-selected': String(i === slice) }, canvas);
  });
  const grid = h('.slices', { role: 'grid', 'aria-label': `${inside} slices of the kernel` }, h('.row', { role: 'row' }, tiles));
  const editor = h('.editor');
  let later = 0;
  const edited = () => new Set(list(place.edits).filter((e) => e.node === node.id && e.name === 'weight').map((e) => e.index));
  /** The map at once, computed here; the model's own answer a moment later. @param {number} at @param {number} v */
  const edit = (at, v) => {
    if (!Number.isFinite(v)) return;
    const data = weight.data.slice();
    data[start + at] = v;
    map.redraw(convMap(input, { shape: weight.shape, data }, bias, node.settings, c, output.shape.slice(1)), scale);
    clearTimeout(later);
    later = window.setTimeout(() => {
      if (context.signal.aborted) return;
      if (list(place.edits).length >= MOST && !edited().has(start + at)) announce(`at most ${MOST} weights can be edited`);
      else go({ edits: set(place.edits, node.id, 'weight', start + at, Math.fround(v)), from: first + slice }, { replace: true });
    }, 500);
  };
  const draw = () => {
    const changed = edited();
    editor.replaceChildren(h('p.note', {}, `Slice of channel ${first + slice}. Change a number: the map follows at once, the network’s answer a moment later.`),
      h('table.numbers.inputs', {}, h('tbody', {}, [...Array(kh).keys()].map((u) => h('tr', {}, [...Array(kw).keys()].map((v) => {
        const at = slice * size + u * kw + v;
        return h(changed.has(start + at) ? 'td.changed' : 'td', {}, h('input', { id: `weight-${start + at}`, type: 'text', inputmode: 'decimal', value: num(own[at]).includes('×') ? minus(exact32(own[at])) : num(own[at]), 'aria-label': `weight at row ${u}, column ${v}`,
          oninput: (e) => edit(at, e.target.value.trim() ? Number(e.target.value.replace(/−/g, '-')) : NaN) }));
      }))))));
  };
  const choose = (_, i) => {
    slice = i;
    tiles.forEach((tile, k) => tile.setAttribute('aria-selected', String(k === i)));
    announce(`slice of channel ${first + i}`);
    draw();
  };
  rove(grid, { cells: () => tiles, start: slice, onmove: choose, onopen: choose });
  draw();
  return panel(context, 'kernel', `Its kernel: ${inside} ${inside === 1 ? 'slice' : 'slices'} of ${kh}×${kw}`, grid, editor);
}
