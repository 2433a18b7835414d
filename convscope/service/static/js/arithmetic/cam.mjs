// Activations, and gradients of a class by them, in; a class activation map's channel weights and cells out.

import { gamma, total } from './rounding.mjs';

/** @typedef {import('./rounding.mjs').Tensor} Tensor */

/**
 * What a channel weighs: Grad-CAM (equation 1), Grad-CAM++ (equations 5 and 19), XGrad-CAM.
 * Other methods weigh each place, or find their weights by running the network: null.
 * @param {string} method
 * @param {Tensor} activation (K, h, w)
 * @param {Tensor} gradient (K, h, w)
 * @param {number} k
 * @returns {{sum: number, bound: number, terms: number[]} | null}
 */
export function channelWeight(method, activation, gradient, k) {
  const [, height, width] = activation.shape;
  const places = height * width;
  const a = activation.data.subarray(k * places, (k + 1) * places);
  const g = gradient.data.subarray(k * places, (k + 1) * places);
  if (method === 'grad-cam') {
    const terms = Array.from(g, (value) => value / places);
    return { ...total(terms, places + 2), terms };
  }
  const whole = total(Array.from(a));
  if (method === 'grad-cam++') {
    const terms = Array.from(g, (value) => (value > 0 ? value / (2 + value * whole.sum) : 0));
    // relative error of a denominator: what g·ΣA is off by, beside 2 + g·ΣA
    const doubt = Math.max(...Array.from(g, (value) => (value > 0 ? (value * whole.bound) / Math.abs(2 + value * whole.sum) : 0)));
    const { sum, bound } = total(terms, places + 6);
    return { sum, bound: bound + 2 * doubt * terms.reduce((size, term) => size + term, 0), terms };
  }
  if (method === 'x-grad-cam') {
    if (whole.sum === 0) return { sum: 0, bound: 0, terms: Array.from(g, () => 0) };
    const terms = Array.from(g, (value, n) => (value * a[n]) / whole.sum);
    const { sum, bound } = total(terms, places + 2);
    return { sum, bound: bound + 2 * Math.abs((sum * whole.bound) / whole.sum), terms };
  }
  return null;
}

/**
 * One cell of the map: Σ_k w_k A_k, the weights one a channel (K) or one a place (K, h, w).
 *
 * The server sets a sum to zero that rounding alone could explain: such a zero is off by twice the usual bound.
 * @param {ArrayLike<number>} weights
 * @param {Tensor} activation (K, h, w)
 * @param {number[]} place [y, x]
 */
export function camCell(weights, activation, [y, x]) {
  const [channels, height, width] = activation.shape;
  const step = weights.length === channels ? 0 : y * width + x;
  const stride = weights.length / channels;
  const terms = Array.from({ length: channels }, (_, k) => {
    const [weight, value] = [weights[k * stride + step], activation.data[(k * height + y) * width + x]];
    return { k, weight, activation: value, product: weight * value };
  });
  const { sum, bound } = total(terms.map((term) => term.product));
  const doubtful = Math.abs(sum) <= 2 * bound;
  return { sum, bound: doubtful ? bound * (2 + gamma(2)) : bound, doubtful, terms };
}

/**
 * The weights, one a place, of HiResCAM (the gradient) and LayerCAM (its positive part); null for other methods.
 * @param {string} method
 * @param {Tensor} gradient
 */
export function placeWeights(method, gradient) {
  if (method === 'hires-cam') return gradient.data;
  if (method === 'layer-cam') return gradient.data.map((value) => Math.max(value, 0));
  return null;
}
