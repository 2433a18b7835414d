// Random convolutions in; every cell against loops written the other way round, and float32 sums within the bound.

import assert from 'node:assert/strict';
import test from 'node:test';

import { convCell, convMap, linearCell } from '../../convscope/service/static/js/arithmetic.mjs';
import { element, float32Sum, holds, randomness } from './random.mjs';

const size = (length, kernel, stride, padding, dilation) =>
  Math.floor((length + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;

/** Scatters each input pixel to the outputs that it reaches, instead of gathering. */
function scattered(input, weight, bias, { stride, padding, dilation, groups }, [rows, columns]) {
  const [outside, inside, kh, kw] = weight.shape;
  const map = new Float64Array(outside * rows * columns);
  for (let o = 0; o < outside; o++) map.fill(bias ? bias.data[o] : 0, o * rows * columns, (o + 1) * rows * columns);
  for (let c = 0; c < input.shape[0]; c++)
    for (let y = 0; y < input.shape[1]; y++)
      for (let x = 0; x < input.shape[2]; x++)
        for (let o = 0; o < outside; o++) {
          if (Math.floor(o / (outside / groups)) !== Math.floor(c / inside)) continue;
          for (let u = 0; u < kh; u++)
            for (let v = 0; v < kw; v++) {
              const [i, j] = [(y + padding[0] - u * dilation[0]) / stride[0], (x + padding[1] - v * dilation[1]) / stride[1]];
              if (!Number.isInteger(i) || !Number.isInteger(j) || i < 0 || j < 0 || i >= rows || j >= columns) continue;
              map[(o * rows + i) * columns + j] += element(input, c, y, x) * element(weight, o, c % inside, u, v);
            }
        }
  return map;
}

test('cells and maps of random convolutions', () => {
  const random = randomness(20240);
  for (let round = 0; round < 40; round++) {
    const groups = random.whole(1, 3);
    const [inside, each] = [random.whole(1, 4), random.whole(1, 3)];
    const kernel = [random.whole(1, 4), random.whole(1, 3)];
    const settings = {
      kernel_size: kernel,
      stride: [random.whole(1, 3), random.whole(1, 3)],
      padding: [random.whole(0, 2), random.whole(0, 2)],
      dilation: [random.whole(1, 2), random.whole(1, 3)],
      groups,
    };
    const input = random.tensor([inside * groups, random.whole(8, 12), random.whole(8, 12)]);
    const weight = random.tensor([each * groups, inside, ...kernel], 0.3);
    const bias = round % 2 ? random.tensor([each * groups]) : null;
    const out = [0, 1].map((axis) =>
      size(input.shape[axis + 1], kernel[axis], settings.stride[axis], settings.padding[axis], settings.dilation[axis]),
    );
    const expected = scattered(input, weight, bias, settings, out);
    for (let o = 0; o < each * groups; o++) {
      const map = convMap(input, weight, bias, settings, o, out);
      for (let n = 0; n < map.length; n++) {
        const cell = convCell(input, weight, bias, settings, [o, Math.floor(n / out[1]), n % out[1]]);
        const wanted = expected[o * map.length + n];
        assert.ok(Math.abs(cell.sum - wanted) < 1e-12 && Math.abs(map[n] - wanted) < 1e-12);
        assert.equal(cell.terms.length, inside * kernel[0] * kernel[1]);
        const products = cell.terms.map((term) => term.product).concat(bias ? [bias.data[o]] : []);
        const magnitude = products.reduce((sum, value) => sum + Math.abs(value), 0);
        holds(float32Sum(random.shuffled(products)), cell, magnitude, products.length);
      }
    }
  }
});

test('a bound tells a wrong sum from rounding', () => {
  const random = randomness(99);
  const [input, weight] = [random.tensor([64, 9, 9]), random.tensor([1, 64, 3, 3], 0.05)];
  const cell = convCell(input, weight, null, { stride: 1, padding: 1, dilation: 1, groups: 1 }, [0, 4, 4]);
  const forgotten = cell.terms.filter((term) => Math.abs(term.product) > cell.bound).length;
  assert.ok(forgotten > 500, `leaving out ${forgotten} of 576 terms would be noticed`);
});

test('linear cells', () => {
  const random = randomness(3);
  const [input, weight, bias] = [random.tensor([256]), random.tensor([10, 256], 0.1), random.tensor([10])];
  for (let o = 0; o < 10; o++) {
    const cell = linearCell(input, weight, bias, o);
    const products = Array.from({ length: 256 }, (_, c) => element(input, c) * element(weight, o, c)).concat(bias.data[o]);
    holds(float32Sum(random.shuffled(products)), cell, products.reduce((sum, value) => sum + Math.abs(value), 0), 257);
  }
});
