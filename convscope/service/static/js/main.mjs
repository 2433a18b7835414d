/** The address in, the level that it names out: holds model, picture and place, swaps levels, minds the keyboard. */

import { api, key, models as served, ServerError, silence } from './api.mjs';
import { onTheme } from './colour.mjs';
import { compare } from './compare.mjs';
import { byId, h } from './dom.mjs';
import { digits } from './format.mjs';
import { notice } from './edits.mjs';
import { listen, open } from './gallery.mjs';
import { above, changed, levelOf, link, parse } from './place.mjs';
import { rail } from './rail.mjs';
import { askKey, header, help, trail } from './shell.mjs';
import { walk } from './walk.mjs';

/**
 * @typedef {import('./place.mjs').Place} Place
 * @typedef {{api: import('./api.mjs').Api, graph: import('./api.mjs').Graph, node: any, place: Place & {model: string, img: string},
 *   go: (change: Partial<Place>, options?: {replace?: boolean}) => void, announce: (text: string, seen?: boolean) => void,
 *   signal: AbortSignal, field: (node: string | null, y?: number, x?: number) => void, came: Place}} Context
 *   `node` is the graph node of `place.layer`; `came` the place shown before; `field` draws a receptive field on the picture beside the level
 */

/** Level of one number, by what its layer does; others show their maps. @type {Record<string, string>} */
const PIXEL = {
  conv: 'pixel', linear: 'linear', batchnorm: 'norm', activation: 'activation', add: 'add', maxpool: 'pool', avgpool: 'pool',
  globalmax: 'pool', globalavg: 'pool', input: 'input', flatten: 'copy', dropout: 'copy',
};

const main = byId('main');
const live = byId('live');
/** @type {Place} */
let place = parse(location.hash || walk?.place || '');
/** @type {AbortController} */
let running = new AbortController();
/** @type {Context | null} */
let context = null;
/** The place that the level on the page shows. @type {Place} */
let shown = {};
let moment = 0;

/** @param {string} text @param {boolean} [seen] for a moment, not only heard */
function announce(text, seen = false) {
  live.textContent = text;
  live.classList.toggle('unseen', !seen);
  clearTimeout(moment);
  moment = window.setTimeout(() => live.classList.add('unseen'), 8000);
}

/** @param {Partial<Place>} change @param {{replace?: boolean}} [options] */
function go(change, { replace = false } = {}) {
  const next = changed(place, change);
  if (link(next) === link(place)) return;
  visit(next, replace ? 'replaceState' : 'pushState');
}

/** @param {Place} next @param {'replaceState' | 'pushState'} [how] */
function visit(next, how = 'pushState') {
  place = next;
  history[how](null, '', link(place));
  render();
}

/** The module that shows a place. @param {string} level @param {any} node @param {any} graph */
function moduleOf(level, node, graph) {
  if (!node || level === 'backward' || level === 'heatmap') return level;
  if (node.kind === 'linear' && node.id === graph.nodes.at(-1).id) return 'head';
  if (node.shape.length === 1 && level === 'channel') return PIXEL[node.kind] ?? 'layer';
  return level === 'pixel' ? PIXEL[node.kind] ?? 'channel' : level;
}

/** Show the place: the old level stays until the new one is drawn, so that nothing flickers. */
async function render() {
  running.abort();
  const { signal } = running = new AbortController();
  digits.all = place.digits === 'all';
  try {
    const { models } = await served();
    if (signal.aborted) return;
    const name = place.model ?? models[0].name;
    if (!models.some((m) => m.name === name)) {
      context = null;
      header(/** @type {any} */ ({ place: {}, go }), models);
      for (const id of ['trail', 'rail']) byId(id).replaceChildren();
      throw new ServerError(`this server has no model '${name}'; it has ${models.map((m) => m.name).join(', ')}`);
    }
    const ask = api(name, place.edits, signal);
    const graph = await ask.graph();
    if (signal.aborted) return;
    if (name !== place.model || !place.img) {
      place = changed(place, { model: name, img: place.img ?? `${graph.sources[0]?.name}:0` });
      history.replaceState(null, '', link(place));
    }
    const node = graph.nodes.find((n) => n.id === place.layer);
    const here = /** @type {Context['place']} */ (place), given = { api: ask, graph, node, place: here, go, announce, signal, came: shown };
    const now = context = { ...given, field: rail(given).field };
    header(now, models);
    trail(now);
    if (place.layer && !node) throw new ServerError(`no layer '${place.layer}' in ${name}; the network, above, shows those that it has`);
    const level = moduleOf(levelOf(place), node, graph);
    const { show } = await import(`./levels/${level}.mjs`).catch(silence);
    const host = h(`section.level.level-${level}`);
    await show(host, now);
    await compare(host, now);
    const edited = notice(now);
    if (edited) host.prepend(edited);
    if (!signal.aborted) swap(host);
  } catch (problem) {
    if (signal.aborted) return;
    const { message, silent } = /** @type {ServerError} */ (problem);
    swap(h('section.level', {}, h('p.problem', { role: 'alert', tabindex: -1 }, message), silent && h('p', {}, h('button.button.way', { type: 'button', onclick: render }, 'Go on'))));
    if (!(problem instanceof ServerError)) console.error(problem);
  }
}

/** Where the keys begin. @returns {HTMLElement} */
const entry = () => main.querySelector('[tabindex="0"], [role=alert]') ?? main;

/** Put a level on the page, with the focus where it was, where one comes from, or at the entry. @param {HTMLElement} host */
function swap(host) {
  const focused = /** @type {any} */ (document.activeElement), inside = main.contains(focused), old = main.querySelector('.level');
  const way = [...document.querySelectorAll('#trail li')].map((li) => li.textContent);
  if (!host.querySelector('h1')) host.prepend(h('h1.unseen', {}, way.join(', ')));
  main.replaceChildren(host);
  const again = inside && byId(focused.id);
  if (again || (old && (inside || focused === document.body))) {
    (again || byId(`channel-${shown.c}`) || byId(`node-${shown.layer}`) || entry()).focus({ preventScroll: true });
  }
  if (again && Number.isInteger(focused.selectionEnd)) { // who types goes on typing
    const [text, at] = [again.value, focused.selectionEnd];
    again.value = focused.value;
    again.setSelectionRange(at, at);
    if (again.value !== text) again.dispatchEvent(new Event('input'));
  }
  if (old && old.className !== host.className) scrollTo({ top: 0 });
  main.querySelector(':focus-visible')?.scrollIntoView({ block: 'nearest' });
  shown = { ...(place.layer === shown.layer && place.c === shown.c ? shown : {}), ...place };
  document.title = [...way.reverse(), 'convscope'].join(' · ');
}

addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || document.querySelector('dialog[open]')) return;
  const target = /** @type {HTMLElement} */ (event.target), typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
  if (document.activeElement === document.body && /^(Arrow|Enter)/.test(event.key)) {
    entry().focus();
    if (document.activeElement !== target) document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key: event.key, bubbles: true, cancelable: true }));
  } else if (event.key === 'Escape') {
    if (typing) entry().focus();
    else if (place.layer || place.level) visit(above(place, context?.node?.shape.length === 1));
  } else if (typing) return;
  else if (event.key === 'Enter' && !target.closest('a, button')) /** @type {any} */ (main.querySelector('.way, .ways [tabindex="0"]'))?.click();
  else if (event.key === '?') help();
  else if (event.key === 'd') go({ digits: digits.all ? undefined : 'all' }, { replace: true });
  else if (event.key === 'g' && context && !walk) open(context);
  else return;
  event.preventDefault();
});
/** @type {HTMLElement} */ (document.querySelector('.skip')).onclick = (event) => { // the address is the place
  event.preventDefault();
  entry().focus();
};
addEventListener('popstate', () => { place = parse(location.hash); render(); });
onTheme(render);
listen(() => context);
key.ask = askKey;
render();
for (const level of ['graph', 'layer', 'channel', 'pixel']) import(`./levels/${level}.mjs`); // the likely next ones
