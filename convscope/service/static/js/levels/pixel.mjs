/** One number of a convolution: patch × kernel channel by channel, their sum, the bias; the cell of the matrix product. */

import { convCell, window } from '../arithmetic.mjs';
import { paint, scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { count, num } from '../format.mjs';
import { numberTable, rove } from '../grid.mjs';
import { im2col } from '../im2col.mjs';
import { hero, panel, summed } from '../parts.mjs';
import { waterfall } from '../waterfall.mjs';
import { whatIf } from '../what-if.mjs';
import { locator, siblings } from './locator.mjs';

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, node, place, announce, go } = context;
  const img = place.img, cell = /** @type {[number, number, number]} */ ([place.c, place.y, place.x]);
  const [output, input, weight, bias] = await Promise.all([
    api.output(img, node.id), api.output(img, node.inputs[0]), api.tensor(node.id, 'weight'), node.tensors.bias ? api.tensor(node.id, 'bias') : null,
  ]);
  const [c, y, x] = cell, [, high, wide] = output.shape, [, inside, kh, kw] = weight.shape;
  if (c >= output.shape[0] || y >= high || x >= wide) throw new Error(`${node.id} gives ${output.shape.join('×')}: it has no place ${cell.join(', ')}`);
  const value = output.data[(c * high + y) * wide + x];
  const result = convCell(input, weight, bias, node.settings, cell);
  const { stride, padding, dilation } = window(node.settings, weight.shape);
  const size = kh * kw, first = result.terms[0].c;
  const [inScale, kScale] = [scaleOf(result.terms.map((t) => t.input)), scaleOf(weight.data, c * inside * size, (c + 1) * inside * size)];
  const pScale = scaleOf(result.terms.map((t) => t.product));
  const pieces = Array.from({ length: inside }, (_, k) => result.terms.slice(k * size, (k + 1) * size));

  const tiny = (data, scale) => {
    const canvas = h('canvas.pixels.patch', { 'aria-hidden': 'true', style: { '--ratio': kw / kh } });
    paint(canvas, data, kh, kw, scale);
    return canvas;
  };
  const terms = pieces.map((piece, k) => ({ key: first + k, value: piece.reduce((sum, t) => sum + t.product, 0), cells: () => [
    `channel\xa0${first + k}`, h('span.trio', {}, tiny(piece.map((t) => t.input), inScale), '×', tiny(piece.map((t) => t.weight), kScale), '=', tiny(piece.map((t) => t.product), pScale)),
  ] }));
  const largest = terms.reduce((best, t) => Math.abs(t.value) > Math.abs(best.value) ? t : best);

  const product = im2col({ input, weight, output, settings: node.settings, cell });
  const detail = h('.detail');
  const select = (/** @type {{key: number, value: number}} */ { key, value: part }, quiet = false) => {
    const piece = pieces[key - first];
    const table = (data, scale, caption, more = {}) => numberTable({ data, rows: kh, cols: kw, scale, caption, ...more });
    const outside = (r, k) => piece[r * kw + k].padded;
    const patch = table(piece.map((t) => t.input), inScale, `patch of channel ${key}`, { outside, cell: (td, r, k) => {
      const t = piece[r * kw + k];
      Object.assign(td, { id: `patch-${r}-${k}` });
      td.setAttribute('aria-label', t.padded ? 'padding, 0' : `channel ${t.c}, row ${t.y}, column ${t.x}: ${num(t.input)}`);
    } });
    patch.setAttribute('role', 'grid');
    patch.classList.add('ways');
    const cells = [...patch.querySelectorAll('td')], real = piece.flatMap((t, n) => t.padded ? [] : [n]);
    const most = real.reduce((best, n, at) => Math.abs(piece[n].product) > Math.abs(piece[real[best]].product) ? at : best, 0);
    rove(patch, { cells: () => real.map((n) => cells[n]), start: most, onopen: (_, n) => {
      const { c: from, y: row, x: column } = piece[real[n]];
      go({ layer: node.inputs[0], c: from, y: row, x: column, level: undefined });
    } });
    detail.replaceChildren(h('.maps', {}, patch, h('span.op', {}, '×'), table(piece.map((t) => t.weight), kScale, 'kernel'), h('span.op', {}, '='),
      table(piece.map((t) => t.product), pScale, 'products', { outside, wide: true }), h('.part-sum', {}, h('span.op', {}, 'Σ'), h('b', {}, num(part, { wide: true })), h('p.quiet', {}, `channel ${key}’s share`))));
    product.mark((key - first) * size, size);
    if (!quiet) announce(`channel ${key} adds ${num(part)}`);
  };
  select(largest, true);

  const [top, left] = [y * stride[0] - padding[0], x * stride[1] - padding[1]];
  host.append(
    h('.top', {}, h('div', {}, hero({ value, sum: result.sum, bound: result.bound }, `${node.id}:${cell}`, h('span', {}, `${node.id}, `, siblings(context, output.shape[0]))),
      summed(`${count(inside)} ${inside === 1 ? 'channel' : 'channels'} × ${kh} × ${kw} = ${count(result.terms.length)} products`, result, value)),
    locator(context, output)),
    panel(context, 'patch', 'Patch × kernel', h('p.note', {}, `Row ${y}, column ${x} reads rows ${top} to ${top + dilation[0] * (kh - 1)} and columns ${left} to ${left + dilation[1] * (kw - 1)} of the layer before. Open a number of the patch to follow it on down.`.replace(/-/g, '−')), detail),
    panel(context, 'sum', `Summed over ${count(inside)} ${inside === 1 ? 'channel' : 'channels'}`, waterfall({
      terms, heads: ['', 'patch × kernel = products'], last: result.bias === null ? null : ['bias', result.bias], words: ['channel', 'channels'], label: 'partial sums by channel', selected: largest.key, onselect: select,
    })),
    panel(context, 'im2col', 'The same cell in one matrix product', product.element),
    panel(context, 'what-if', 'What if', whatIf({ input, weight, bias, settings: node.settings, cell, value, announce })));
  context.field(node.id, y, x);
}
