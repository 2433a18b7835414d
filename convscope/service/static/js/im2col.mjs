/** A convolution in; the matrix product that computes it, drawn from its real numbers, out: kernels × columns = maps. */

import { window } from './arithmetic.mjs';
import { paint, scaleOf } from './colour.mjs';
import { h } from './dom.mjs';
import { count } from './format.mjs';

/** @typedef {import('./api.mjs').Tensor} Tensor */

const MOST = 360; // rows and columns drawn of a matrix; of larger ones every n-th

/**
 * A matrix of `rows` × `cols` numbers, thinned to what a screen can show.
 * @param {number} rows @param {number} cols @param {(r: number, c: number) => number} at @param {number} scale
 */
function matrix(rows, cols, at, scale) {
  const [high, wide] = [Math.min(rows, MOST), Math.min(cols, MOST)];
  const canvas = h('canvas.pixels', { 'aria-hidden': 'true' });
  setTimeout(() => { // once the level stands
    const data = new Float32Array(high * wide);
    for (let r = 0; r < high; r++) for (let c = 0; c < wide; c++) data[r * wide + c] = at(Math.floor(r * rows / high), Math.floor(c * cols / wide));
    paint(canvas, data, high, wide, scale);
  });
  return canvas;
}

/** A band over a matrix: row or column `i` of `n`. @param {string} name @param {number} i @param {number} n */
const band = (name, i, n) => h(`i.${name}`, { style: { [name === 'across' ? 'top' : 'left']: `${100 * i / n}%`, [name === 'across' ? 'height' : 'width']: `${100 / n}%` } });

/**
 * @param {{input: Tensor, weight: Tensor, output: Tensor, settings: any, cell: [number, number, number]}} options
 * @returns {{element: HTMLElement, mark: (k: number, n: number) => void}} `mark` shows rows k to k + n of the column, its part of the row of W
 */
export function im2col({ input, weight, output, settings, cell: [o, y, x] }) {
  const { stride, padding, dilation, groups } = window(settings, weight.shape);
  const [outside, inside, kh, kw] = weight.shape, [, height, width] = input.shape, [, high, wide] = output.shape;
  const each = outside / groups, group = Math.floor(o / each);
  const K = inside * kh * kw, P = high * wide, p = y * wide + x;
  const unrolled = (k, at) => {
    const row = Math.floor(at / wide) * stride[0] + Math.floor(k / kw) % kh * dilation[0] - padding[0], column = at % wide * stride[1] + k % kw * dilation[1] - padding[1];
    return row < 0 || column < 0 || row >= height || column >= width ? 0 : input.data[((group * inside + Math.floor(k / (kh * kw))) * height + row) * width + column];
  };
  const kernels = h('.matrix', {}, matrix(each, K, (r, k) => weight.data[(group * each + r) * K + k], scaleOf(weight.data)), band('across', o % each, each));
  const columns = h('.matrix', {}, matrix(K, P, unrolled, scaleOf(input.data)), band('down', p, P));
  const maps = h('.matrix', {}, matrix(each, P, (r, at) => output.data[(group * each + r) * P + at], scaleOf(output.data)), band('across', o % each, each), band('down', p, P));
  const figure = (name, box, title, size) => h(`figure.${name}`, {}, box, h('figcaption', {}, h('b', {}, title), ` ${size}`));
  const element = h('.product', { role: 'img', 'aria-label': `Row ${o % each} of the kernels, ${each} by ${K}, times column ${p} of the patches, ${K} by ${P}, is this cell` },
    h('.said', {}, h('p', {}, `Each patch becomes a column of ${count(K)} numbers, each kernel a row. `, h('b', {}, `Row ${o % each} times column ${p}`), ' is the cell where they cross: this number, before any bias.'),
      groups > 1 ? h('p.quiet', {}, `One of ${groups} groups, each a product of its own.`) : null),
    figure('columns', columns, 'patches as columns', `${count(K)}×${count(P)}`), figure('kernels', kernels, 'kernels', `${each}×${count(K)}`), figure('result', maps, 'maps', `${each}×${count(P)}`));
  const mark = (k, n) => {
    for (const old of element.querySelectorAll('.part')) old.remove();
    kernels.append(h('i.part', { style: { left: `${100 * k / K}%`, width: `${100 * n / K}%`, top: `${100 * (o % each) / each}%`, height: `${100 / each}%` } }));
    columns.append(h('i.part', { style: { top: `${100 * k / K}%`, height: `${100 * n / K}%`, left: `${100 * p / P}%`, width: `${100 / P}%` } }));
  };
  return { element, mark };
}
