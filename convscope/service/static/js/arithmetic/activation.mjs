// A number in; what ReLU, GELU or tanh makes of it, and its slope there, out.

import { gamma, UNIT } from './rounding.mjs';

const FEW = gamma(8); // the vectorised erf, exp and tanh of PyTorch are right to one unit, before and after which it rounds

/**
 * erf(x) = 2/√π·e^(−x²) Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)): no term cancels another, so float64 keeps nearly all its digits.
 * @param {number} x
 */
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/**
 * One cell of an activation. ReLU is exact. For the others `bound` is a few units of what is added.
 * @param {number} x
 * @param {{function: string}} settings
 */
export function activationCell(x, settings) {
  if (settings.function === 'relu') return { sum: Math.max(x, 0), bound: 0, terms: {} };
  if (settings.function === 'tanh') return { sum: Math.tanh(x), bound: FEW * Math.abs(Math.tanh(x)) + UNIT ** 6, terms: {} };
  const inner = erf(x / Math.SQRT2); // in [-1, 1]
  return { sum: (x / 2) * (1 + inner), bound: (FEW * Math.abs(x) * (1 + Math.abs(inner))) / 2, terms: { inner } };
}

/**
 * The slope at x. At a ReLU's corner it is 0, as in PyTorch.
 * @param {number} x
 */
export function derivative(x, settings) {
  if (settings.function === 'relu') return { sum: x > 0 ? 1 : 0, bound: 0 };
  if (settings.function === 'tanh') return { sum: 1 - Math.tanh(x) ** 2, bound: FEW * (1 + Math.tanh(x) ** 2) };
  const [level, climb] = [(1 + erf(x / Math.SQRT2)) / 2, (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI)];
  return { sum: level + climb, bound: FEW * (1 + Math.abs(climb) * (2 + x * x)) }; // x² is what rounding it does to exp
}
