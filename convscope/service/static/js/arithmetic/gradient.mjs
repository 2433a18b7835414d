// The gradient at a layer's output in; what of it reaches a cell of its input, or one of its weights, out.

import { derivative } from './activation.mjs';
import { window } from './conv.mjs';
import { poolCell } from './pool.mjs';
import { at, gamma, total } from './rounding.mjs';

/** @typedef {import('./rounding.mjs').Tensor} Tensor */

/**
 * What a layer's input cell gets back through that layer, terms `{from: [cell of the output], gradient, factor, product}`.
 *
 * @param {{kind: string, settings: object}} node the layer
 * @param {{gradient: Tensor, input: Tensor, weight?: Tensor | null, mean?: Tensor, variance?: Tensor}} given the gradient
 *   at its output, its input, and what the layer itself holds
 * @param {number[]} cell of its input, [c, y, x] or [c]
 * @returns {{sum: number, bound: number, terms: {from: number[], gradient: number, factor: number, product: number}[]} | null}
 *   null for a layer of unknown kind
 */
export function inputGradient(node, given, cell) {
  const pieces = ROUTES[node.kind]?.(node, given, cell);
  if (!pieces) return null;
  const { gradient } = given;
  let doubt = 0; // of factors that were themselves computed
  const terms = pieces.terms.map(({ from, factor, bound = 0 }) => {
    const value = gradient.data[at(gradient.shape, from)];
    doubt += Math.abs(value) * bound;
    return { from, gradient: value, factor, product: value * factor };
  });
  const { sum, bound } = total(terms.map((term) => term.product), terms.length + pieces.roundings);
  return { sum, bound: bound + doubt * (1 + gamma(8)), terms };
}

const same = (cell, factor = 1, bound = 0) => [{ from: cell, factor, bound }];

/** For each kind: the cells of the output that a cell of the input reaches, by what factor, and how often that rounds. */
const ROUTES = {
  conv: (node, { weight, gradient }, [c, y, x]) => {
    const [outside, inside, kh, kw] = weight.shape;
    const { stride, padding, dilation, groups } = window(node.settings, weight.shape);
    const group = Math.floor(c / inside);
    const terms = [];
    for (const [u, i] of reached(y, kh, stride[0], padding[0], dilation[0], gradient.shape[1])) {
      for (const [v, j] of reached(x, kw, stride[1], padding[1], dilation[1], gradient.shape[2])) {
        for (let o = (group * outside) / groups; o < ((group + 1) * outside) / groups; o++) {
          terms.push({ from: [o, i, j], factor: weight.data[((o * inside + (c % inside)) * kh + u) * kw + v] });
        }
      }
    }
    return { terms, roundings: 0 };
  },
  linear: (node, { weight }, [c]) => {
    const [outside, inside] = weight.shape;
    const terms = Array.from({ length: outside }, (_, o) => ({ from: [o], factor: weight.data[o * inside + c] }));
    return { terms, roundings: 0 };
  },
  batchnorm: (node, { weight, variance }, cell) => {
    const scale = weight ? weight.data[cell[0]] : 1;
    return { terms: same(cell, scale / Math.sqrt(variance.data[cell[0]] + node.settings.eps)), roundings: 7 };
  },
  activation: (node, { input }, cell) => {
    const slope = derivative(input.data[at(input.shape, cell)], node.settings);
    return { terms: same(cell, slope.sum, slope.bound), roundings: 1 };
  },
  maxpool: pooled,
  avgpool: pooled,
  globalmax: pooled,
  globalavg: pooled,
  add: (node, given, cell) => ({ terms: same(cell), roundings: 0 }),
  dropout: (node, given, cell) => ({ terms: same(cell), roundings: 0 }),
  flatten: (node, { input }, cell) => ({ terms: same([at(input.shape, cell)]), roundings: 0 }),
};

/** Output rows (or columns) [kernel row, output row] whose windows hold a row of the input. */
function reached(place, size, stride, padding, dilation, outputs) {
  const found = [];
  for (let u = 0; u < size; u++) {
    const i = (place + padding - u * dilation) / stride;
    if (Number.isInteger(i) && i >= 0 && i < outputs) found.push([u, i]);
  }
  return found;
}

/** The windows that hold the cell: a mean gives each its share, a maximum all to its winner. */
function pooled(node, { input, gradient }, [c, y, x]) {
  const whole = node.kind.startsWith('global');
  const { kernel, stride, padding, dilation } = whole ? {} : window(node.settings);
  const along = (place, axis) =>
    whole ? [[0, 0]] : reached(place, kernel[axis], stride[axis], padding[axis], dilation[axis], gradient.shape[axis + 1]);
  const terms = [];
  for (const [, i] of along(y, 0)) {
    for (const [, j] of along(x, 1)) {
      const { winner, divisor, terms: places } = poolCell(input, node, [c, i, j]);
      const factor = divisor ? 1 / divisor : Number(places[winner].y === y && places[winner].x === x);
      if (factor) terms.push({ from: gradient.shape.length === 1 ? [c] : [c, i, j], factor });
    }
  }
  return { terms, roundings: 2 };
}

/**
 * The gradient of one kernel cell of a convolution: Σ over all places of the gradient there times the input it met.
 * @param {Tensor} input (C, H, W)
 * @param {Tensor} gradient (O, OH, OW)
 * @param {number[]} shape of the kernels, (O, C/groups, KH, KW)
 * @param {number[]} cell [o, k, u, v]
 * @returns {{sum: number, bound: number, terms: Float64Array}} the terms one a place, (OH, OW)
 */
export function weightGradient(input, gradient, settings, shape, [o, k, u, v]) {
  const { stride, padding, dilation, groups } = window(settings, shape);
  const [, height, width] = input.shape;
  const [, rows, columns] = gradient.shape;
  const c = Math.floor(o / (shape[0] / groups)) * shape[1] + k;
  const terms = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const y = i * stride[0] + u * dilation[0] - padding[0];
    if (y < 0 || y >= height) continue;
    for (let j = 0; j < columns; j++) {
      const x = j * stride[1] + v * dilation[1] - padding[1];
      if (x < 0 || x >= width) continue;
      terms[i * columns + j] = gradient.data[(o * rows + i) * columns + j] * input.data[(c * height + y) * width + x];
    }
  }
  return { ...total(Array.from(terms)), terms };
}

/**
 * What one output cell of a convolution gives back to the input: gradient × kernel, before col2im adds the overlaps.
 * @param {number} gradient at the cell
 * @param {{terms: {weight: number}[]}} convolved the cell, from convCell
 */
export const scatter = (gradient, { terms }) => terms.map((term) => ({ ...term, product: gradient * term.weight }));
