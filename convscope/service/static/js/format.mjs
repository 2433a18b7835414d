/** Numbers in, the text that stands on the page out: a few digits, or all of them. */

/** Whether all digits are shown; main.mjs sets it from the address. */
export const digits = { all: false };

/** Every digit of a float32: the shortest decimal that reads back as the same number. @param {number} v */
export function exact32(v) {
  if (!Number.isFinite(v)) return String(v);
  for (let p = 6; p < 9; p++) if (Math.fround(Number(v.toPrecision(p))) === Math.fround(v)) return String(Number(v.toPrecision(p)));
  return String(Number(v.toPrecision(9)));
}

/** With a true minus sign. @param {string} s */
export const minus = (s) => s.replace(/-/g, '−');
const SUPER = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** 3.1×10⁻⁸ @param {number} v @param {number} [places] */
export function power(v, places = 1) {
  if (v === 0 || !Number.isFinite(v)) return minus(String(v));
  const [m, e] = v.toExponential(places).split('e');
  return `${minus(m)}×10${(e.startsWith('-') ? '⁻' : '') + [...String(Math.abs(Number(e)))].map((d) => SUPER[Number(d)]).join('')}`;
}

/**
 * A float32 (or, with `wide`, a float64) as text with a true minus sign.
 * @param {number} v @param {{places?: number, wide?: boolean, sign?: boolean}} [options]
 */
export function num(v, { places = 4, wide = false, sign = false } = {}) {
  if (!Number.isFinite(v)) return v !== v ? 'NaN' : v > 0 ? '∞' : '−∞';
  const plus = sign && v > 0 ? '+' : '';
  if (digits.all) return plus + minus(wide ? String(v) : exact32(v));
  const size = Math.abs(v);
  if (size !== 0 && size < 0.5 * 10 ** -places) return plus + power(v);
  return plus + minus(v.toFixed(size >= 1000 ? 0 : size >= 100 ? Math.max(0, places - 2) : places));
}

/** 1,234,567 @param {number} n */
export const count = (n) => n.toLocaleString('en');

/** 33.2 M @param {number} n */
export function short(n) {
  const [size, unit] = n >= 1e9 ? [1e9, ' G'] : n >= 1e6 ? [1e6, ' M'] : n >= 1e4 ? [1e3, ' k'] : [1, ''];
  return unit ? (n / size).toFixed(1) + unit : count(n);
}

/** 64×15×15 @param {number[]} shape */
export const dims = (shape) => shape.join('×');

/** 97.3 % @param {number} p */
export const percent = (p) => `${(100 * p).toFixed(p > 0.9995 || p < 0.0005 ? 2 : 1)} %`;
