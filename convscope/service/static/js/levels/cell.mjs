/** A place and a tensor in; the cell meant, and the maps that levels of one number share, out. */

import { at } from '../arithmetic/rounding.mjs';
import { paint, scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { num } from '../format.mjs';
import { mapGrid } from '../grid.mjs';

/** @typedef {import('../main.mjs').Context} Context */
/** @typedef {import('../api.mjs').Tensor} Tensor */

/**
 * The cell of `shape` that the address names, as near as there is one.
 * @param {Context} context @param {number[]} [shape]
 */
export function cellAt({ node, place }, shape = node.shape) {
  const cell = [place.c, place.y, place.x].slice(0, shape.length).map((n, axis) => Math.min(n ?? 0, shape[axis] - 1));
  return { cell, index: at(shape, cell), id: `${node.id}:${cell}`, name: `${node.id}, ${titleOf(cell)}` };
}

/** @param {number[]} cell */
export const titleOf = ([c, ...place]) => place.length ? `channel ${c}, row ${place[0]}, column ${place[1]}` : `number ${c}`;

/** Height and width by which a channel is drawn; a vector in rows of equal length. @param {number[]} shape */
export function plane(shape) {
  if (shape.length === 3) return shape.slice(1);
  const width = [16, 15, 14, 13, 12, 11, 10, 9, 8].find((n) => shape[0] % n === 0) ?? shape[0];
  return [shape[0] / width, width];
}

/**
 * The channel in focus (of a vector, all of it) as a map whose arrows move the place.
 * @param {Context} context @param {Tensor} tensor of the node's own shape, or one that has as many places
 * @param {string} id @param {Record<string, any>} [options] of mapGrid
 */
export function moving(context, { shape, data }, id, caption, options = {}) {
  const [height, width] = plane(shape), flat = shape.length < 3;
  const { cell, index } = cellAt(context, shape);
  const start = flat ? 0 : cell[0] * height * width;
  const live = /** @type {[number, number]} */ ([Math.floor((index - start) / width), (index - start) % width]);
  const go = (y, x) => {
    context.announce(`${id}, row ${y}, column ${x}: ${num(data[start + y * width + x])}`);
    context.go(flat ? { c: y * width + x } : { y, x }, { replace: true });
  };
  return figure(mapGrid({ data, height, width, start, label: id, id: `map-${id}`, at: live, size: 240, onmove: go, ...options }), caption);
}

/**
 * A channel as a picture with a frame around some of its cells.
 * @param {Tensor} tensor @param {number} c @param {any} caption
 * @param {{top: number, left: number, bottom: number, right: number}} [frame]
 */
export function still({ shape, data }, c, caption, frame) {
  const [height, width] = plane(shape), start = shape.length === 3 ? c * height * width : 0;
  const canvas = h('canvas.pixels', { role: 'img', 'aria-label': `map of ${height} by ${width}` });
  paint(canvas, data, height, width, scaleOf(data, start, start + height * width), start);
  const wide = width >= height ? 240 : (240 * width) / height;
  const box = h('.map.still', { style: { '--ratio': width / height, '--wide': `${Math.round(wide)}px` } }, canvas);
  if (frame) {
    const [high, broad] = [frame.bottom - frame.top, frame.right - frame.left];
    box.append(h('.frame-of', { style: { top: `${(100 * frame.top) / height}%`, left: `${(100 * frame.left) / width}%`, height: `${(100 * high) / height}%`, width: `${(100 * broad) / width}%` } }));
  }
  return figure(box, caption);
}

/** The way on down, by Enter too. @param {Context} context @param {string} layer @param {number[]} cell */
export const follow = ({ go }, layer, [c, y, x]) => h('button.button.way', {
  id: 'source', type: 'button', onclick: () => go({ layer, c, y, x, level: undefined, mode: undefined }),
}, `Follow ${titleOf(y === undefined ? [c] : [c, y, x])} down to ${layer}`);

/** @param {any} map @param {any} caption */
export const figure = (map, caption) => h('figure.side', {}, map, h('figcaption', {}, caption));

/** Maps in a row with operators between. @param {...any} parts text becomes an operator */
export const row = (...parts) => h('.maps', {}, parts.map((part) => typeof part === 'string' ? h('span.op', {}, part) : part));

/** The number in focus, its maps beside it where there is room. */
export const beside = (number, ...maps) => h('.beside', {}, number, row(...maps));

/** A fraction, typeset. */
export const fraction = (over, under) => h('span.frac', {}, h('span', {}, over), h('span', {}, under));

/** What lies under a root. */
export const root = (...under) => h('span.root', {}, '√', h('span', {}, under));

/**
 * Writes a number's value, sum and bound on the element that shows it.
 * @param {string} id @param {number} value the model's @param {{sum: number, bound: number} | null} found null: not computed again here
 */
export const check = (element, id, value, found) => Object.assign(element.dataset, { cell: id, value }, found && { sum: found.sum, bound: found.bound });
