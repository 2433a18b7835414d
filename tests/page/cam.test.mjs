// Random activations and gradients in; channel weights, cells and pixels of class activation maps against plain loops.

import assert from 'node:assert/strict';
import test from 'node:test';

import { camCell, channelWeight, heat, placeWeights, resizeCell } from '../../convscope/service/static/js/arithmetic.mjs';
import { element, float32Sum, holds, randomness } from './random.mjs';

const f = Math.fround;
const random = randomness(31);
const activation = random.tensor([6, 4, 5]);
activation.data.forEach((value, n) => (activation.data[n] = Math.max(value, 0)));
const gradient = random.tensor([6, 4, 5], 0.01);

test('channel weights of the three methods that have them', () => {
  for (let k = 0; k < 6; k++) {
    let [mean, share, whole, weighed] = [0, 0, 0, 0];
    for (let y = 0; y < 4; y++)
      for (let x = 0; x < 5; x++) {
        mean += element(gradient, k, y, x) / 20;
        whole += element(activation, k, y, x);
        weighed += element(activation, k, y, x) * element(gradient, k, y, x);
      }
    for (let n = 0; n < 20; n++) {
      const g = gradient.data[k * 20 + n];
      if (g > 0) share += (g ** 2 / (2 * g ** 2 + g ** 3 * whole)) * g; // equation 19 as the paper writes it
    }
    for (const [method, expected] of [['grad-cam', mean], ['grad-cam++', share], ['x-grad-cam', weighed / whole]]) {
      const weight = channelWeight(method, activation, gradient, k);
      assert.ok(Math.abs(weight.sum - expected) < 1e-14, `${method}: ${weight.sum}, not ${expected}`);
      assert.equal(weight.terms.length, 20);
    }
    const slice = random.shuffled(Array.from(gradient.data.subarray(k * 20, k * 20 + 20)));
    const size = slice.reduce((sum, value) => sum + Math.abs(value), 0) / 20;
    holds(f(float32Sum(slice) / 20), channelWeight('grad-cam', activation, gradient, k), size, 22);
  }
  assert.equal(channelWeight('eigen-cam', activation, gradient, 0), null);
});

test('cells of the map, with a weight a channel or a place', () => {
  const weights = Float32Array.from({ length: 6 }, (_, k) => channelWeight('grad-cam', activation, gradient, k).sum);
  for (const all of [weights, placeWeights('hires-cam', gradient), placeWeights('layer-cam', gradient)]) {
    for (let y = 0; y < 4; y++)
      for (let x = 0; x < 5; x++) {
        const cell = camCell(all, activation, [y, x]);
        const products = Array.from({ length: 6 }, (_, k) => {
          const weight = all === weights ? weights[k] : all[(k * 4 + y) * 5 + x];
          return weight * element(activation, k, y, x);
        });
        assert.ok(Math.abs(cell.sum - products.reduce((sum, value) => sum + value, 0)) < 1e-15);
        holds(float32Sum(random.shuffled(products)), cell, products.reduce((sum, v) => sum + Math.abs(v), 0), 6.01);
      }
  }
  assert.ok(placeWeights('layer-cam', gradient).every((value) => value >= 0));
  assert.equal(placeWeights('score-cam', gradient), null);
});

test('a sum that rounding alone could explain may be zero', () => {
  const flat = { shape: [2, 1, 1], data: Float32Array.from([1, 1]) };
  const nearly = camCell([1, -1 + 2 ** -24], flat, [0, 0]);
  assert.ok(nearly.doubtful && Math.abs(nearly.sum) > 0 && Math.abs(0 - nearly.sum) <= nearly.bound);
  assert.ok(!camCell([1, -0.999], flat, [0, 0]).doubtful);
});

test("pixels of an enlarged map: PyTorch's numbers", () => {
  // F.interpolate(torch.tensor([[[[1., 2.], [3., 5.]]]]), size=(3, 4), mode='bilinear', align_corners=False, antialias=True)
  const expected = [
    [1, 1.25, 1.75, 2],
    [2, 2.375, 3.125, 3.5],
    [3, 3.5, 4.5, 5],
  ];
  expected.forEach((row, y) =>
    row.forEach((value, x) => {
      const pixel = resizeCell([1, 2, 3, 5], [2, 2], [3, 4], [y, x]);
      assert.ok(Math.abs(pixel.sum - value) < 1e-12, `${y}, ${x}: ${pixel.sum}, not ${value}`);
      holds(f(value), pixel, 11, 60);
    }),
  );
});

test('only the positive part is drawn, over its largest value, and over the largest pixel again', () => {
  const { positive, cells } = heat([-2, 1, 4, 0], [2, 2], [1, 3]);
  assert.deepEqual(Array.from(positive), [0, 0.25, 1, 0]);
  // the mean of both rows, [0.5, 0.125], enlarged to three: [0.5, 0.3125, 0.125]
  [1, 0.625, 0.25].forEach((value, n) => assert.ok(Math.abs(cells[n].sum - value) < 1e-15, `${cells[n].sum}`));
  assert.ok(heat([-2, -1], [1, 2], [3, 3]).cells.every(({ sum }) => sum === 0));
});
