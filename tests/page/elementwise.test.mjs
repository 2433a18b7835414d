// Random numbers in; BatchNorm, activations, addition and pooling against what float32 makes of them.

import assert from 'node:assert/strict';
import test from 'node:test';

import {
  activationCell,
  addCell,
  batchNormCell,
  derivative,
  poolCell,
  softmax,
} from '../../convscope/service/static/js/arithmetic.mjs';
import { element, float32Sum, holds, randomness } from './random.mjs';

const f = Math.fround;

test('BatchNorm within the bound both ways that float32 may take', () => {
  const random = randomness(5);
  for (let round = 0; round < 2000; round++) {
    const [x, mean, weight, bias] = [random.normal() * 3, random.normal() * 10, random.normal(), random.normal()].map(f);
    const [variance, eps] = [f(random.next() ** 4 + 1e-6), 1e-5];
    const cell = batchNormCell(x, { mean, variance, eps, weight, bias });
    const deviation = Math.sqrt(variance + eps);
    assert.ok(Math.abs(cell.sum - ((x - mean) / deviation) * weight - bias) < 1e-9);
    const invstd = f(1 / f(Math.sqrt(f(variance + f(eps)))));
    const [alpha, size] = [f(invstd * weight), (Math.abs(x) + 2 * Math.abs(mean)) * Math.abs(weight / deviation) + Math.abs(bias)];
    holds(f(f(x * alpha) + f(bias - f(mean * alpha))), cell, size, 10);
    holds(f(f(f(f(x - mean) * invstd) * weight) + bias), cell, size, 10);
  }
});

test('activations: values known to 15 digits, slopes against differences', () => {
  const gelu = { function: 'gelu' };
  // torch.nn.functional.gelu in float64
  for (const [x, expected] of [[-6, -5.919525869479969e-9], [-3, -0.00404969409489031], [0.5, 0.34573123063700656], [1, 0.841344746068543], [4, 3.9998733150326675]]) {
    assert.ok(Math.abs(activationCell(x, gelu).sum - expected) < 2e-15, `GELU(${x}) is ${activationCell(x, gelu).sum}`);
  }
  assert.equal(activationCell(-2, { function: 'relu' }).sum, 0);
  assert.equal(activationCell(-2, { function: 'relu' }).bound, 0);
  assert.equal(derivative(0, { function: 'relu' }).sum, 0);
  for (const settings of [{ function: 'tanh' }, gelu]) {
    for (let x = -5; x <= 5; x += 0.37) {
      const slope = (activationCell(x + 1e-5, settings).sum - activationCell(x - 1e-5, settings).sum) / 2e-5;
      assert.ok(Math.abs(derivative(x, settings).sum - slope) < 1e-9, `${JSON.stringify(settings)} at ${x}`);
      const value = activationCell(x, settings);
      holds(f(value.sum), value, Math.max(Math.abs(x), 2 ** -60), 8);
    }
  }
});

test("the shortcut's addition is one rounding", () => {
  const random = randomness(8);
  for (let round = 0; round < 500; round++) {
    const [branch, shortcut] = [f(random.normal()), f(random.normal() * 100)];
    holds(f(branch + shortcut), addCell(branch, shortcut), Math.abs(branch) + Math.abs(shortcut), 1);
  }
});

test('pooling: the first of equal winners, means with and without padding, windows over the edge', () => {
  const input = { shape: [1, 3, 3], data: Float32Array.from([1, 5, 5, 2, 5, 0, -7, -8, -9]) };
  const pool = (kind, settings, cell) => poolCell(input, { kind, settings }, cell);
  assert.equal(pool('maxpool', { kernel_size: 2 }, [0, 0, 0]).winner, 1);
  const negative = pool('maxpool', { kernel_size: [2, 2], padding: [1, 1] }, [0, 1, 1]);
  assert.equal(negative.sum, 5);
  assert.equal(pool('maxpool', { kernel_size: 2, padding: 1, stride: 3 }, [0, 1, 0]).sum, -7); // padding never wins
  assert.equal(pool('avgpool', { kernel_size: 2, padding: 1 }, [0, 0, 0]).sum, 0.25);
  assert.equal(pool('avgpool', { kernel_size: 2, padding: 1, count_include_pad: false }, [0, 0, 0]).sum, 1);
  assert.equal(pool('avgpool', { kernel_size: 2, ceil_mode: true }, [0, 1, 1]).sum, -9);
  assert.equal(pool('globalmax', {}, [0, 0, 0]).winner, 1);
  const random = randomness(4);
  const large = random.tensor([3, 7, 9]);
  for (let c = 0; c < 3; c++) {
    const parts = Array.from({ length: 63 }, (_, n) => element(large, c, Math.floor(n / 9), n % 9));
    const mean = poolCell(large, { kind: 'globalavg', settings: {} }, [c, 0, 0]);
    holds(f(float32Sum(random.shuffled(parts)) / 63), mean, parts.reduce((sum, v) => sum + Math.abs(v), 0) / 63, 65);
  }
});

test('softmax in float32 stays within the bound, far logits too', () => {
  const random = randomness(6);
  for (let round = 0; round < 300; round++) {
    const logits = Float32Array.from({ length: random.whole(2, 100) }, () => random.normal() * 20 + 50);
    const { cells } = softmax(logits);
    const peak = Math.max(...logits);
    const powers = Array.from(logits, (z) => f(Math.exp(f(z - peak))));
    const divisor = float32Sum(random.shuffled(powers));
    powers.forEach((power, k) => holds(f(power / divisor), cells[k], cells[k].sum, 2 * (peak - Math.min(...logits)) + 120));
    assert.ok(Math.abs(cells.reduce((sum, cell) => sum + cell.sum, 0) - 1) < 1e-12);
  }
});
