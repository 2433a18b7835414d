/** Where the number in focus lies: its channel's map with the live cell, arrows to the neighbours, the channels beside. */

import { h } from '../dom.mjs';
import { exact32 } from '../format.mjs';
import { mapGrid } from '../grid.mjs';

/** @typedef {import('../main.mjs').Context} Context */

/**
 * The map of the channel in focus; a move shows the neighbour at once.
 * @param {Context} context @param {import('../api.mjs').Tensor} output
 */
export function locator({ node, place, go, announce }, output) {
  const [, height, width] = output.shape, c = place.c ?? 0;
  const start = c * height * width;
  return h('figure.locator', {}, mapGrid({
    data: output.data, height, width, start, label: `channel ${c} of ${node.id}`, id: 'cell',
    at: [place.y ?? 0, place.x ?? 0], size: 232,
    onmove: (y, x, v) => { announce(`row ${y}, column ${x}: ${exact32(v)}`); go({ y, x }, { replace: true }); },
  }), h('figcaption', {}, node.kind === 'input' ? 'its map: arrows move' : 'its map: arrows move, Enter goes down'));
}

/** The place in words, with the channels before and after. @param {Context} context @param {number} channels */
export function siblings({ place, go, node }, channels) {
  const c = place.c ?? 0, flat = node.shape.length === 1;
  const to = (by) => go({ c: (c + by + channels) % channels }, { replace: true });
  return h('span.siblings', {}, h('button.quiet-button', { id: 'channel-before', type: 'button', 'aria-label': flat ? 'Number before' : 'Channel before', onclick: () => to(-1) }, '‹'),
    flat ? `number ${c}` : `channel ${c}`, h('button.quiet-button', { id: 'channel-after', type: 'button', 'aria-label': flat ? 'Next number' : 'Next channel', onclick: () => to(1) }, '›'),
    flat || place.y === undefined ? '' : `row ${place.y}, column ${place.x}`);
}
