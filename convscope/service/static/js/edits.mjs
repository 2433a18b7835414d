/** Edited weights in the address (`node:name:index:value,…`) in; their list, to change and to undo, out. */

import { h } from './dom.mjs';

export const MOST = 64; // that the server takes

/** @param {string} [edits] */
export const list = (edits = '') => edits.split(',').filter(Boolean).map((edit) => {
  const [node, name, index, value] = edit.split(':');
  return { node, name, index: Number(index), value: Number(value) };
});

/** Set one, or with `null` undo it. @param {string | undefined} edits @param {string} node @param {string} name @param {number} index @param {number | null} value */
export function set(edits, node, name, index, value) {
  const others = list(edits).filter((e) => !(e.node === node && e.name === name && e.index === index));
  if (value !== null) others.push({ node, name, index, value });
  return others.map((e) => `${e.node}:${e.name}:${e.index}:${e.value}`).join(',') || undefined;
}

/** Says that the model is edited, at every level. @param {import('./main.mjs').Context} context @returns {HTMLElement | null} */
export function notice({ place, go }) {
  const n = list(place.edits).length;
  return n ? h('p.edited', { role: 'status' }, h('span', {}, `${n} ${n === 1 ? 'weight is' : 'weights are'} edited: every number is that of a copy of the model with ${n === 1 ? 'it' : 'them'}.`),
    h('button.button', { id: 'edits-reset', type: 'button', onclick: () => go({ edits: undefined }, { replace: true }) }, 'Reset')) : null;
}
