// A seed in; random tensors, float32 arithmetic in a random order, and checks of a bound out: what the tests share.

import assert from 'node:assert/strict';

/** Numbers in [0, 1) from a seed (Marsaglia 2003, xorshift32). */
export function randomness(seed) {
  let state = seed;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return {
    next,
    normal,
    whole: (low, high) => low + Math.floor(next() * (high - low + 1)),
    tensor: (shape, scale = 1) => ({
      shape,
      data: Float32Array.from({ length: shape.reduce((size, n) => size * n, 1) }, () => scale * normal()),
    }),
    shuffled: (values) =>
      values
        .map((value) => [next(), value])
        .sort(([a], [b]) => a - b)
        .map(([, value]) => value),
  };
}

/** The sum of float32 products in the order given, rounded after each step. */
export const float32Sum = (values) => values.reduce((sum, value) => Math.fround(sum + Math.fround(value)), 0);

export const element = ({ shape, data }, ...cell) => data[cell.reduce((offset, n, axis) => offset * shape[axis] + n, 0)];

/** A float32 value lies within the bound, and the bound is no wider than `roundings` say for terms of that size. */
export function holds(value, cell, size, roundings) {
  const off = Math.abs(value - cell.sum);
  assert.ok(off <= cell.bound, `${value} is ${off} from ${cell.sum}, bound ${cell.bound}`);
  assert.ok(cell.bound <= roundings * 2 ** -24 * 1.001 * size + 2 ** -120, `bound ${cell.bound} for terms of ${size}`);
}
