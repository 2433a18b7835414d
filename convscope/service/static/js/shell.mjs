/** The place in, the page's frame out: header with the choice of model, the way down, help, the question for a key. */

import { byId, h, swapChildren } from './dom.mjs';
import { levelOf, link, TOP } from './place.mjs';
import { save, walk } from './walk.mjs';

/** @typedef {import('./main.mjs').Context} Context */

/** @param {string} title @param {...any} children @returns {HTMLDialogElement} shown, and gone once closed */
export function dialogue(title, ...children) {
  const from = document.activeElement?.id;
  const box = h('dialog', { 'aria-labelledby': 'dialogue-title', onclose: () => {
    box.remove();
    if (from && document.activeElement === document.body) byId(from)?.focus(); // drawn anew meanwhile
  } },
    h('.dialogue-head', {}, h('h2', { id: 'dialogue-title' }, title), h('button.quiet-button', { type: 'button', 'aria-label': 'Close', onclick: () => box.close() }, '✕')), children);
  box.addEventListener('click', (event) => { if (event.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

/** What the page shows now: the header stays while it changes. @type {Context} */
let current;

/** @param {Context} context @param {{name: string}[]} models */
export function header(context, models) {
  const { place, go } = context;
  current = context;
  const top = byId('top');
  const state = JSON.stringify([models, place.model, place.digits, place.compare]);
  if (top.dataset.state === state) return;
  top.dataset.state = state;
  const here = !walk && !!place.model;
  swapChildren(top,
    h('a.wordmark', { href: link({ model: place.model, img: place.img }), onclick: (event) => {
      event.preventDefault();
      go({ ...TOP, model: place.model });
    } }, h('img', { src: '/static/icon.svg', alt: '', width: 20, height: 20 }), 'convscope'),
    h('p.motto', {}, 'one number, all the way down'),
    h('nav.tools', { 'aria-label': 'Page' },
      h('label', {}, h('span.unseen', {}, 'Checkpoint'), h('select', { id: 'model', onchange: (e) => go({
        ...TOP, model: e.target.value, edits: undefined, target: undefined, img: undefined,
      }) }, !place.model && h('option', {}, 'choose a model'), models.map((m) => h('option', { value: m.name, selected: m.name === place.model }, m.name)))),
      here && models.length > 1 ? h('label', {}, h('span.unseen', {}, 'Compare with'), h('select', { id: 'compare', onchange: (e) => go({ compare: e.target.value || undefined }, { replace: true }) },
        h('option', { value: '' }, 'compare with…'), models.filter((m) => m.name !== place.model).map((m) => h('option', { value: m.name, selected: m.name === place.compare }, m.name)))) : null,
      here && h('button.quiet-button', { id: 'export', type: 'button', title: 'this walk as one file that opens without a server',
        onclick: () => save(current).catch((error) => dialogue('That did not work', h('p.problem', { role: 'alert' }, error.message))) }, 'export'),
      h('button.quiet-button', { id: 'digits', type: 'button', 'aria-pressed': String(place.digits === 'all'), title: 'every digit of every number (d)',
        onclick: () => go({ digits: place.digits === 'all' ? undefined : 'all' }, { replace: true }) }, 'full precision'),
      h('button.quiet-button', { id: 'help', type: 'button', 'aria-label': 'Keyboard help', title: 'keys (?)', onclick: help }, '?')));
}

/** The way down to here, and the other views of the same thing. @param {Context} context */
export function trail({ place, node, go, graph }) {
  const level = levelOf(place), flat = node?.shape.length === 1;
  /** @type {[string, Partial<import('./place.mjs').Place>][]} */
  const steps = [[graph.name, TOP]];
  if (level === 'heatmap') steps.push(['heatmap', { level: 'heatmap' }]);
  else if (place.layer) steps.push([place.layer, { ...TOP, layer: place.layer }]);
  if (node && place.c !== undefined) steps.push([flat ? `number ${place.c}` : `channel ${place.c}`, { y: undefined, x: undefined, level: undefined }]);
  if (node && place.y !== undefined && place.x !== undefined && !flat) steps.push([`${place.y}, ${place.x}`, { level: undefined }]);
  if (level === 'backward') steps.push(['backward', {}]);
  const view = (text, change, on) =>
    h('button.quiet-button', { type: 'button', id: `view-${text}`, 'aria-pressed': String(on), onclick: () => go(change) }, text);
  swapChildren(byId('trail'),
    h('ol', {}, steps.map(([text, change], i) => h('li', {}, i < steps.length - 1
      ? h('a', { href: link({ ...place, ...change }), onclick: (e) => { e.preventDefault(); go(change); } }, text)
      : h('span', { 'aria-current': 'page' }, text)))),
    h('.views', {},
      view('network', TOP, level === 'graph'),
      view('head', { ...TOP, layer: graph.nodes.at(-1)?.id }, node?.id === graph.nodes.at(-1)?.id && level !== 'backward'),
      view('heatmap', { ...TOP, level: 'heatmap' }, level === 'heatmap'),
      node && node.kind !== 'input' && place.c !== undefined && view('backward', { level: level === 'backward' ? undefined : 'backward', ...(flat ? {} : { y: place.y ?? 0, x: place.x ?? 0 }) }, level === 'backward')));
}

/** The keys, on one card. */
export function help() {
  const keys = [['← ↑ → ↓', 'move through channels, pixels, rows'], ['Enter', 'one level down'], ['Escape', 'one level up'], ['Tab', 'to the next part of the page'],
    ['d', 'every digit, or a few'], ['g', 'choose a picture'], ['p', 'in a layer: pin the channel in focus'], ['?', 'this card']];
  dialogue('Keys', h('dl.keys', {}, keys.map(([k, what]) => h('div', {}, h('dt', {}, h('kbd', {}, k)), h('dd', {}, what)))));
}

/** Asks once for the service's key. @returns {Promise<string | null>} */
export function askKey() {
  return new Promise((resolve) => {
    const input = h('input', { type: 'password', id: 'key', autocomplete: 'off', required: true });
    const box = dialogue('This service asks for a key', h('form', { method: 'dialog', onsubmit: () => resolve(input.value) },
      h('label', { for: 'key' }, 'API key, kept until this tab is closed'), input, h('button.button', { type: 'submit' }, 'Go on')));
    box.addEventListener('close', () => resolve(null));
    input.focus();
  });
}
