// Exact terms in; their sum and the largest error that a float32 program may make of it out.
//
// A sum of n products is off by at most γ_n Σ|terms|, γ_n = n·u / (1 − n·u), u = 2⁻²⁴, in whatever order it is added
// (Higham 2002, 'Accuracy and Stability of Numerical Algorithms', section 3.1). Ours is in float64, off by 2⁻²⁹ of that.

/** Half the distance from 1 to the next float32. */
export const UNIT = 2 ** -24;
const LEAST = 2 ** -149; // the smallest float32 above zero: what a product may lose by underflow

/** @typedef {{shape: number[], data: Float32Array}} Tensor */

/**
 * How much n roundings come to, relative to what is rounded.
 * @param {number} n
 */
export const gamma = (n) => (n * UNIT) / (1 - n * UNIT);

/**
 * The sum of `parts`, each known to within `roundings` roundings once it is in the sum.
 * @param {number[]} parts
 * @param {number} roundings
 */
export function total(parts, roundings = parts.length) {
  let sum = 0;
  let size = 0;
  for (const part of parts) {
    sum += part;
    size += Math.abs(part);
  }
  return { sum, bound: gamma(roundings) * size + parts.length * LEAST };
}

/**
 * A number or a pair as a pair: [height, width].
 * @param {number | number[]} value
 */
export const pair = (value) => (Array.isArray(value) ? value : [value, value]);

/**
 * Where (c, y, x) lies in a tensor's data; a vector has only c.
 * @param {number[]} shape
 * @param {number[]} cell
 */
export const at = (shape, cell) => cell.reduce((offset, position, axis) => offset * shape[axis] + position, 0);
