// A value and a channel's statistics in; γ(x − μ)/√(σ² + ε) + β, step by step, out.

import { gamma } from './rounding.mjs';

/**
 * One cell of a BatchNorm. PyTorch computes x·α + (β − μ·α) with α = γ/√(σ² + ε), which rounds x and μ apart: the bound
 * grows with both, not with their difference.
 *
 * Roundings of α: ε, σ² + ε, √, 1/, ·γ; then a product, a difference and a sum; statistics that were themselves
 * rounded to float32 (those of a batch) add two more.
 * @param {number} x
 * @param {{mean: number, variance: number, eps: number, weight?: number, bias?: number}} channel
 */
export function batchNormCell(x, { mean, variance, eps, weight = 1, bias = 0 }) {
  const centred = x - mean;
  const deviation = Math.sqrt(variance + eps);
  const normalised = centred / deviation;
  const scaled = weight * normalised;
  const size = (Math.abs(x) + 2 * Math.abs(mean)) * Math.abs(weight / deviation);
  return {
    sum: scaled + bias,
    bound: gamma(10) * (size + Math.abs(bias)),
    terms: { centred, deviation, normalised, scaled },
  };
}
