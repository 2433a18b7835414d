// Numbers in, their text out: short, exact, with a true minus.

import assert from 'node:assert/strict';
import test from 'node:test';

import { digits, exact32, num, percent, power, short } from '../../convscope/service/static/js/format.mjs';
import { randomness } from './random.mjs';

test('the exact text of a float32 reads back as the same number, and no digit is for show', () => {
  const { next: random } = randomness(1);
  for (let n = 0; n < 2000; n++) {
    const value = Math.fround((random() - 0.5) * 10 ** Math.round(20 * (random() - 0.5)));
    const text = exact32(value);
    assert.equal(Math.fround(Number(text)), value);
    assert.ok(Number(text).toExponential().replace(/e.*|[^0-9]/g, '').length <= 9, text);
  }
  assert.equal(exact32(Math.fround(0.1)), '0.1');
  assert.equal(exact32(-0.5), '-0.5');
});

test('few digits, with a true minus; what rounds to nothing keeps its size', () => {
  assert.equal(num(-0.43721), '−0.4372');
  assert.equal(num(0.25, { sign: true }), '+0.2500');
  assert.equal(num(0), '0.0000');
  assert.equal(num(-3.14e-7), '−3.1×10⁻⁷');
  assert.equal(num(12345.6), '12346');
  assert.equal(num(NaN), 'NaN');
  assert.equal(num(-Infinity), '−∞');
});

test('all digits on request', () => {
  digits.all = true;
  assert.equal(num(Math.fround(-0.43721)), '−0.43721');
  assert.equal(num(1 / 3, { wide: true }), '0.3333333333333333');
  digits.all = false;
});

test('powers, sizes, shares', () => {
  assert.equal(power(4.47e-8), '4.5×10⁻⁸');
  assert.equal(power(1200), '1.2×10³');
  assert.equal(short(118_100_000), '118.1 M');
  assert.equal(short(9_999), '9,999');
  assert.equal(percent(0.825), '82.5 %');
  assert.equal(percent(0.99991), '99.99 %');
});
