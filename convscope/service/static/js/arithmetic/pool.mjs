// A map and the place of a pooled cell in; the window, and its winner or its mean, out.

import { window } from './conv.mjs';
import { total } from './rounding.mjs';

/**
 * One cell of a pooling; kinds globalmax and globalavg take the whole map as their window.
 *
 * `winner` is the index in `terms` of the largest, the first of equals, as PyTorch counts; null for a mean. The mean's
 * `divisor` counts the padding where `count_include_pad` says so, but nothing beyond it (PyTorch's ceil_mode).
 * @param {import('./rounding.mjs').Tensor} input (C, H, W)
 * @param {{kind: string, settings: object}} node
 * @param {number[]} cell [c, i, j]
 */
export function poolCell(input, { kind, settings }, [c, i, j]) {
  const [, height, width] = input.shape;
  const { rows, columns, divisor } = span(input.shape, kind, settings, i, j);
  const terms = [];
  for (const y of rows) {
    for (const x of columns) {
      const padded = y < 0 || x < 0 || y >= height || x >= width;
      terms.push({ y, x, padded, input: padded ? 0 : input.data[(c * height + y) * width + x] });
    }
  }
  if (kind.includes('max')) return { ...largest(terms), bound: 0, divisor: null, terms };
  const parts = terms.map((term) => term.input / divisor);
  return { ...total(parts, parts.length + 2), winner: null, divisor, terms };
}

/** Most is taken as it is, so no rounding: the first of the largest inside the picture wins. */
function largest(terms) {
  let winner = -1;
  terms.forEach((term, index) => {
    if (!term.padded && (winner < 0 || term.input > terms[winner].input)) winner = index;
  });
  return { sum: terms[winner].input, winner };
}

/** The rows and columns of the window, and what its mean is divided by. */
function span([, height, width], kind, settings, i, j) {
  if (kind.startsWith('global')) {
    return { rows: range(0, height, 1), columns: range(0, width, 1), divisor: height * width };
  }
  const { kernel, stride, padding, dilation } = window(settings);
  const [top, left] = [i * stride[0] - padding[0], j * stride[1] - padding[1]];
  // a window may hang over the padding (ceil_mode): what lies beyond is no part of it
  const rows = range(top, Math.min(top + kernel[0] * dilation[0], height + padding[0]), dilation[0]);
  const columns = range(left, Math.min(left + kernel[1] * dilation[1], width + padding[1]), dilation[1]);
  const inside = (places, size) => places.filter((place) => place >= 0 && place < size).length;
  const all = rows.length * columns.length;
  return { rows, columns, divisor: settings.count_include_pad === false ? inside(rows, height) * inside(columns, width) : all };
}

const range = (start, end, step) => Array.from({ length: Math.ceil((end - start) / step) }, (_, n) => start + n * step);
