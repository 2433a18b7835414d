// Random layers in; the gradients of their inputs and weights against central differences of the layers' own cells.

import assert from 'node:assert/strict';
import test from 'node:test';

import {
  activationCell,
  addCell,
  batchNormCell,
  convCell,
  inputGradient,
  linearCell,
  poolCell,
  scatter,
  weightGradient,
} from '../../convscope/service/static/js/arithmetic.mjs';
import { element, randomness } from './random.mjs';

const random = randomness(77);

/** Each cell of a shape. */
const cells = (shape) =>
  shape.reduce((found, length) => found.flatMap((cell) => [...Array(length).keys()].map((n) => [...cell, n])), [[]]);

const index = (shape, cell) => cell.reduce((offset, n, axis) => offset * shape[axis] + n, 0);

/** d Σ gradient·output / d input[cell], by a difference in float64. */
function difference(output, input, gradient, cell, step = 1e-6) {
  const loss = (change) => {
    const data = Float64Array.from(input.data);
    data[index(input.shape, cell)] += change;
    const changed = { shape: input.shape, data };
    return cells(gradient.shape).reduce((sum, place) => sum + element(gradient, ...place) * output(changed, place), 0);
  };
  return (loss(step) - loss(-step)) / (2 * step);
}

function check(node, output, input, outputShape, given = {}) {
  const gradient = random.tensor(outputShape);
  for (const cell of cells(input.shape)) {
    const found = inputGradient(node, { gradient, input, ...given }, cell);
    const expected = difference(output, input, gradient, cell);
    assert.ok(Math.abs(found.sum - expected) < 1e-7, `${node.kind} at ${cell}: ${found.sum}, not ${expected}`);
    const size = found.terms.reduce((sum, term) => sum + Math.abs(term.gradient) * Math.max(1, Math.abs(term.factor)), 0);
    assert.ok(found.bound <= 2 ** -24 * (found.terms.length + 24) * size + 2 ** -120, `${node.kind}: bound ${found.bound}`);
  }
}

test('convolutions, strided, padded, dilated and in groups', () => {
  for (const [settings, kernel, outs] of [
    [{ stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 }, [3, 3], [5, 6]],
    [{ stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 }, [3, 2], [3, 4]],
  ]) {
    const input = random.tensor([4, 5, 6]);
    const weight = random.tensor([6, 4 / settings.groups, ...kernel], 0.5);
    check({ kind: 'conv', settings }, (x, cell) => convCell(x, weight, null, settings, cell).sum, input, [6, ...outs], { weight });
  }
});

test('every other kind', () => {
  const input = random.tensor([2, 4, 6]);
  const [weight, bias, mean] = [random.tensor([2]), random.tensor([2]), random.tensor([2])];
  const variance = { shape: [2], data: Float32Array.from([0.3, 2]) };
  const channel = (c) => ({
    mean: mean.data[c], variance: variance.data[c], eps: 1e-5, weight: weight.data[c], bias: bias.data[c],
  });
  check(
    { kind: 'batchnorm', settings: { eps: 1e-5 } },
    (x, cell) => batchNormCell(element(x, ...cell), channel(cell[0])).sum,
    input, [2, 4, 6], { weight, mean, variance },
  );
  for (const settings of [{ function: 'relu' }, { function: 'tanh' }, { function: 'gelu' }]) {
    check({ kind: 'activation', settings }, (x, cell) => activationCell(element(x, ...cell), settings).sum, input, [2, 4, 6]);
  }
  for (const [kind, settings, shape] of [
    ['maxpool', { kernel_size: 2 }, [2, 2, 3]],
    ['maxpool', { kernel_size: 3, stride: 2, padding: 1 }, [2, 2, 3]],
    ['avgpool', { kernel_size: [2, 3] }, [2, 2, 2]],
    ['globalmax', {}, [2, 1, 1]],
    ['globalavg', {}, [2, 1, 1]],
  ]) {
    check({ kind, settings }, (x, cell) => poolCell(x, { kind, settings }, cell).sum, input, shape);
  }
  check({ kind: 'add', settings: {} }, (x, cell) => addCell(element(x, ...cell), 1).sum, input, [2, 4, 6]);
  check({ kind: 'flatten', settings: {} }, (x, [n]) => x.data[n], input, [48]);
  const linear = random.tensor([3, 48], 0.2);
  const flat = random.tensor([48]);
  check({ kind: 'linear', settings: {} }, (x, [o]) => linearCell(x, linear, null, o).sum, flat, [3], { weight: linear });
  assert.equal(inputGradient({ kind: 'unknown', settings: {} }, { gradient: flat, input: flat }, [0]), null);
});

test('kernel gradients, and what one cell gives back', () => {
  const settings = { stride: [2, 1], padding: [1, 1], dilation: [1, 1], groups: 2 };
  const [input, weight, gradient] = [random.tensor([4, 6, 5]), random.tensor([4, 2, 3, 3]), random.tensor([4, 3, 5])];
  for (const cell of cells(weight.shape)) {
    const expected = difference((w, place) => convCell(input, w, null, settings, place).sum, weight, gradient, cell);
    const found = weightGradient(input, gradient, settings, weight.shape, cell);
    assert.ok(Math.abs(found.sum - expected) < 1e-7, `${cell}: ${found.sum}, not ${expected}`);
  }
  // col2im: what all output cells scatter to a pixel is that pixel's gradient
  const back = new Float64Array(input.data.length);
  for (const place of cells(gradient.shape)) {
    for (const { c, y, x, padded, product } of scatter(element(gradient, ...place), convCell(input, weight, null, settings, place))) {
      if (!padded) back[index(input.shape, [c, y, x])] += product;
    }
  }
  for (const cell of cells(input.shape)) {
    const { sum } = inputGradient({ kind: 'conv', settings }, { gradient, input, weight }, cell);
    assert.ok(Math.abs(back[index(input.shape, cell)] - sum) < 1e-12);
  }
});
