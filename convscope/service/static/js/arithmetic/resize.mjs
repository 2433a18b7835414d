// A small map and the place of a pixel in; the bilinear sum that the pixel is, out.

import { gamma, UNIT } from './rounding.mjs';

/**
 * One pixel of a map resized bilinearly, a value standing for the centre of its cell; where the map shrinks, spread
 * over the cells covered (PyTorch's align_corners=False, antialias=True).
 *
 * The weights themselves are computed in float32, from centres of the size of the map: that is the bound's larger part.
 * @param {ArrayLike<number>} map (h, w)
 * @param {number[]} size [h, w]
 * @param {number[]} to [H, W]
 * @param {number[]} place [y, x] in H × W
 */
export function resizeCell(map, [height, width], to, [y, x]) {
  const [down, across] = [reach(height, to[0], y), reach(width, to[1], x)];
  const terms = down.flatMap((row) =>
    across.map((column) => {
      const [weight, value] = [row.weight * column.weight, map[row.place * width + column.place]];
      return { y: row.place, x: column.place, weight, value, product: weight * value };
    }),
  );
  const sum = terms.reduce((sum, term) => sum + term.product, 0);
  const size = terms.reduce((size, term) => size + Math.abs(term.value), 0);
  return { sum, bound: (gamma(terms.length + 4) + 8 * UNIT * (height + width)) * size, terms };
}

/** The places along one axis that a pixel mixes, and how much of each. */
function reach(from, to, position) {
  const scale = from / to;
  const wide = Math.max(scale, 1);
  const centre = scale * (position + 0.5);
  const first = Math.max(0, Math.trunc(centre - wide + 0.5));
  const last = Math.min(from, Math.trunc(centre + wide + 0.5));
  const places = Array.from({ length: last - first }, (_, n) => first + n);
  const weights = places.map((place) => Math.max(0, 1 - Math.abs((place + 0.5 - centre) / wide)));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  return places.map((place, n) => ({ place, weight: weights[n] / whole })).filter(({ weight }) => weight > 0);
}

/**
 * What is drawn of a signed map: its positive part over its largest value, resized, over the largest again.
 * @param {ArrayLike<number>} map (h, w)
 * @param {number[]} size [h, w]
 * @param {number[]} to [H, W]
 * @returns {{positive: Float64Array, cells: {sum: number, bound: number}[]}} `cells` one a pixel; all zero where
 *   nothing is positive
 */
export function heat(map, size, to) {
  const top = most(Array.from(map)) || 1;
  const positive = Float64Array.from(map, (value) => Math.max(value, 0) / top);
  const pixels = Array.from({ length: to[0] * to[1] }, (_, n) => resizeCell(positive, size, to, [Math.floor(n / to[1]), n % to[1]]));
  const peak = most(pixels.map(({ sum }) => sum)) || 1;
  const doubt = most(pixels.map(({ bound }) => bound)) / peak + gamma(4); // of the largest pixel, and of each division
  return { positive, cells: pixels.map(({ sum, bound }) => ({ sum: sum / peak, bound: bound / peak + (sum / peak) * doubt * (1 + doubt) })) };
}

const most = (values) => values.reduce((peak, value) => Math.max(peak, value), 0);
