/** The address in, the place on the page out, and back: `#model=cifar10-94&img=test:42&layer=stem.conv&c=7&y=5&x=9`. */

/**
 * @typedef {{model?: string, img?: string, layer?: string, c?: number, y?: number, x?: number, level?: string,
 *   target?: number, method?: string, mode?: string, mates?: string, edits?: string, compare?: string,
 *   digits?: string, hide?: string, sort?: string, pin?: string, from?: number}} Place
 */

const WORDS = ['model', 'img', 'layer', 'level', 'method', 'mode', 'mates', 'edits', 'compare', 'digits', 'hide', 'sort', 'pin'];
const NUMBERS = ['c', 'y', 'x', 'target', 'from'];

/** The change to the network itself. @type {Partial<Place>} */
export const TOP = { layer: undefined, c: undefined, y: undefined, x: undefined, level: undefined };

/** @param {string} hash @returns {Place} */
export function parse(hash) {
  /** @type {Record<string, string | number>} */
  const place = {};
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ''))) {
    if (WORDS.includes(key) && value) place[key] = value;
    else if (NUMBERS.includes(key) && /^\d+$/.test(value)) place[key] = Number(value);
  }
  return place;
}

/** @param {Place} place @returns {string} with its `#`; keys always in one order, so that equal places have equal links */
export function link(place) {
  const parts = ['model', 'img', 'layer', 'c', 'y', 'x', ...WORDS.slice(3), 'target', 'from']
    .filter((key) => /** @type {any} */ (place)[key] !== undefined && /** @type {any} */ (place)[key] !== '')
    .map((key) => `${key}=${encodeURIComponent(/** @type {any} */ (place)[key]).replace(/%(3A|2C)/g, decodeURIComponent)}`);
  return `#${parts.join('&')}`;
}

/** The level that a place stands for: as said, or the deepest that its coordinates allow. @param {Place} place */
export function levelOf(place) {
  if (!place.layer) return place.level === 'heatmap' ? 'heatmap' : 'graph';
  return place.level ?? (place.x !== undefined && place.y !== undefined ? 'pixel' : place.c !== undefined ? 'channel' : 'layer');
}

/**
 * One level up. @param {Place} place @param {boolean} flat whether the layer's output is a vector: it has no channel level
 * @returns {Place}
 */
export function above(place, flat) {
  const { level: _level, y, x, ...rest } = place;
  const now = levelOf(place);
  if (now === 'backward') return { ...rest, y, x, ...(flat ? { level: 'pixel' } : {}) };
  if (now === 'pixel' && !flat) return rest;
  const { c: _c, ...inLayer } = rest;
  if (now === 'pixel' || now === 'channel') return inLayer;
  const { layer: _layer, ...top } = inLayer;
  return top;
}

/** @param {Place} place @param {Partial<Place>} change undefined removes a key @returns {Place} */
export const changed = (place, change) => parse(link({ ...place, ...change }));
