/** Numbers in, colours out, on one signed scale: blue below zero, the paper at zero, orange above. */

// Blue and orange stay apart for every common kind of colour blindness, and in lightness from the middle. The paper's
// own colour is zero, so that a map of nothing is blank.
const STOPS = {
  light: [[12, 44, 100], [52, 119, 189], [165, 201, 230], [247, 245, 242], [249, 190, 140], [217, 95, 14], [120, 43, 2]],
  dark: [[168, 216, 255], [70, 150, 220], [30, 70, 112], [27, 25, 24], [112, 52, 18], [228, 112, 40], [255, 214, 170]],
};
const STEPS = 255; // each side of zero

/** @type {Record<string, Uint8ClampedArray>} */
const tables = {};
const dark = matchMedia('(prefers-color-scheme: dark)');

/** The 2·255 + 1 colours of the theme of the moment, RGBA in a row. */
function table() {
  const name = dark.matches ? 'dark' : 'light';
  if (!tables[name]) {
    const colours = new Uint8ClampedArray(4 * (2 * STEPS + 1));
    for (let i = 0; i <= 2 * STEPS; i++) {
      const at = (i / (2 * STEPS)) * 6;
      const k = Math.min(5, Math.floor(at));
      for (let j = 0; j < 3; j++) colours[4 * i + j] = STOPS[name][k][j] + (at - k) * (STOPS[name][k + 1][j] - STOPS[name][k][j]);
      colours[4 * i + 3] = 255;
    }
    tables[name] = colours;
  }
  return tables[name];
}

/** The largest magnitude of finite numbers, 1 where all are zero: the scale of a map. @param {ArrayLike<number>} data */
export function scaleOf(data, start = 0, end = data.length) {
  let most = 0;
  for (let i = start; i < end; i++) {
    const size = Math.abs(data[i]);
    if (size > most && size < Infinity) most = size;
  }
  return most || 1;
}

/** @param {number} v @param {number} scale */
const index = (v, scale) => 4 * Math.round(STEPS * (1 + Math.max(-1, Math.min(1, v / scale || 0))));

/** Background of one cell. @param {number} v @param {number} scale @returns {string} */
export function css(v, scale) {
  const i = index(v, scale), c = table();
  return `rgb(${c[i]} ${c[i + 1]} ${c[i + 2]})`;
}

/** Colour of the text on that background, by contrast. @param {number} v @param {number} scale @returns {string} */
export function ink(v, scale) {
  const i = index(v, scale), c = table();
  const [r, g, b] = [0, 1, 2].map((j) => { const s = c[i + j] / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? '#111' : '#fff';
}

/**
 * Draw a map at one canvas pixel a number; CSS enlarges it without smoothing.
 * @param {HTMLCanvasElement} canvas @param {ArrayLike<number>} data @param {number} height @param {number} width
 * @param {number} scale the magnitude of full colour @param {number} [start] where in `data` the map begins
 */
export function paint(canvas, data, height, width, scale, start = 0) {
  if (canvas.width !== width) canvas.width = width; // setting it anew costs a buffer
  if (canvas.height !== height) canvas.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true })); // in memory: hundreds of small ones
  const image = context.createImageData(width, height);
  const colours = table(), pixels = image.data;
  for (let i = 0, end = height * width; i < end; i++) {
    const at = index(data[start + i], scale);
    pixels[4 * i] = colours[at];
    pixels[4 * i + 1] = colours[at + 1];
    pixels[4 * i + 2] = colours[at + 2];
    pixels[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Calls back when the reader's theme changes: maps must be drawn again. @param {() => void} call */
export const onTheme = (call) => dark.addEventListener('change', call);
