// An input, kernels and the place of an output cell in; the products behind that cell out.

import { pair, total } from './rounding.mjs';

/** @typedef {import('./rounding.mjs').Tensor} Tensor */

/**
 * Kernel size, stride, padding and dilation, each [height, width], and groups, of a convolution or a pooling.
 * 'same' padding puts the odd pixel below and to the right, as PyTorch does.
 */
export function window(settings, shape = []) {
  const kernel = pair(settings.kernel_size ?? shape.slice(-2));
  const stride = pair(settings.stride ?? kernel);
  const dilation = pair(settings.dilation ?? 1);
  const padding = pair(settings.padding ?? 0); // above and on the left
  return { kernel, stride, padding, dilation, groups: settings.groups ?? 1 };
}

/**
 * One cell of a convolution: its terms in the order of an im2col column, (C/groups, KH, KW).
 * @param {Tensor} input (C, H, W)
 * @param {Tensor} weight (O, C/groups, KH, KW)
 * @param {Tensor | null} bias (O,)
 * @param {number[]} cell [o, y, x]
 * @returns {{sum: number, bound: number, bias: number | null, terms: {c: number, u: number, v: number, y: number,
 *   x: number, padded: boolean, input: number, weight: number, product: number}[]}}
 */
export function convCell(input, weight, bias, settings, [o, i, j]) {
  const { stride, padding, dilation, groups } = window(settings, weight.shape);
  const [outside, inside, kh, kw] = weight.shape;
  const [, height, width] = input.shape;
  const first = Math.floor(o / (outside / groups)) * inside;
  const terms = [];
  for (let k = 0; k < inside; k++) {
    for (let u = 0; u < kh; u++) {
      for (let v = 0; v < kw; v++) {
        const [c, y, x] = [first + k, i * stride[0] + u * dilation[0] - padding[0], j * stride[1] + v * dilation[1] - padding[1]];
        const padded = y < 0 || x < 0 || y >= height || x >= width;
        const value = padded ? 0 : input.data[(c * height + y) * width + x];
        const factor = weight.data[((o * inside + k) * kh + u) * kw + v];
        terms.push({ c, u, v, y, x, padded, input: value, weight: factor, product: value * factor });
      }
    }
  }
  return { ...withBias(terms, bias, o), terms };
}

/**
 * One cell of a linear layer.
 * @param {Tensor} input (I,), or of I numbers
 * @param {Tensor} weight (O, I)
 * @param {Tensor | null} bias (O,)
 * @param {number} o
 */
export function linearCell(input, weight, bias, o) {
  const inside = weight.shape[1];
  const terms = Array.from({ length: inside }, (_, c) => {
    const [value, factor] = [input.data[c], weight.data[o * inside + c]];
    return { c, input: value, weight: factor, product: value * factor };
  });
  return { ...withBias(terms, bias, o), terms };
}

function withBias(terms, bias, o) {
  const products = terms.map((term) => term.product);
  return { ...total(bias ? [...products, bias.data[o]] : products), bias: bias ? bias.data[o] : null };
}

/**
 * The whole map of one kernel, (OH, OW), in float64: what an edited kernel gives before the server has answered.
 * @param {number[]} size [OH, OW]
 * @returns {Float64Array}
 */
export function convMap(input, weight, bias, settings, o, [rows, columns]) {
  const { stride, padding, dilation, groups } = window(settings, weight.shape);
  const [outside, inside, kh, kw] = weight.shape;
  const [, height, width] = input.shape;
  const first = Math.floor(o / (outside / groups)) * inside;
  const map = new Float64Array(rows * columns).fill(bias ? bias.data[o] : 0);
  for (let k = 0; k < inside; k++) {
    for (let u = 0; u < kh; u++) {
      for (let v = 0; v < kw; v++) {
        const factor = weight.data[((o * inside + k) * kh + u) * kw + v];
        for (let i = 0; i < rows; i++) {
          const y = i * stride[0] + u * dilation[0] - padding[0];
          if (y < 0 || y >= height) continue;
          const row = ((first + k) * height + y) * width;
          for (let j = 0; j < columns; j++) {
            const x = j * stride[1] + v * dilation[1] - padding[1];
            if (x >= 0 && x < width) map[i * columns + j] += factor * input.data[row + x];
          }
        }
      }
    }
  }
  return map;
}
