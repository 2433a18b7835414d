/** One layer: all its channels on one signed scale, dead ones marked, to sort, pin and open. */

import { css, ink, paint, scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { count, dims, num, short } from '../format.mjs';
import { rove } from '../grid.mjs';
import { chips, facts, legend } from '../parts.mjs';
import { how, what } from '../words.mjs';

/** @typedef {import('../main.mjs').Context} Context */

const FIRST = 48; // tiles drawn before the level is shown; the others right after
const ORDERS = [['index', 'in order'], ['largest', 'largest first'], ['mean', 'highest mean'], ['sparse', 'quietest first']];

/** The head that layer and channel share. @param {Context} context */
export function heading({ node, graph }, title, ...more) {
  const before = node.inputs.map((id) => graph.nodes.find((n) => n.id === id)).filter(Boolean);
  return h('header', {}, h('p.eyebrow', {}, what(node)), h('h1', {}, title), h('p.lead', {}, how(node)), facts([
    ...(before.length ? [['takes', before.map((n) => dims(n.shape)).join(' and ')]] : []),
    ['gives', dims(node.shape)],
    ...Object.entries(node.tensors).map(([name, shape]) => [name.replace('_', ' '), dims(shape)]),
    ...(node.multiply_adds ? [['multiply-adds', short(node.multiply_adds)]] : []),
  ]), more);
}

/** @param {HTMLElement} host @param {Context} context */
export async function show(host, context) {
  const { api, node, place, go, announce } = context;
  const { shape, data } = await api.output(place.img, node.id);
  const channels = shape[0], flat = shape.length === 1, size = flat ? 1 : shape[1] * shape[2];
  const scale = scaleOf(data);
  const stats = Array.from({ length: channels }, (_, c) => {
    let most = 0, sum = 0;
    for (let i = c * size; i < (c + 1) * size; i++) { most = Math.max(most, Math.abs(data[i])); sum += data[i]; }
    return { c, most, mean: sum / size };
  });
  const pins = new Set((place.pin ?? '').split(',').filter(Boolean).map(Number));
  const by = { largest: (a, b) => b.most - a.most, mean: (a, b) => b.mean - a.mean, sparse: (a, b) => a.most - b.most };
  const order = stats.slice().sort((a, b) => Number(pins.has(b.c)) - Number(pins.has(a.c)) || (by[place.sort ?? '']?.(a, b) ?? 0) || a.c - b.c);
  /** @type {(() => void)[]} */
  const later = [];
  const tiles = order.map(({ c, most, mean }, at) => {
    const picture = flat ? h('span.pixel', { style: { background: css(data[c], scale), color: ink(data[c], scale) } }, num(data[c], { places: 2 })) : h('canvas.pixels', { 'aria-hidden': 'true' });
    const draw = () => paint(picture, data, shape[1], shape[2], scale, c * size);
    if (!flat && at < FIRST) draw();
    else if (!flat) later.push(draw);
    return h(pins.has(c) ? '.tile.pinned' : '.tile', {
      role: 'gridcell', id: `channel-${c}`, 'data-channel': c,
      'aria-label': flat ? `number ${c}: ${num(data[c])}` : `channel ${c}: mean ${num(mean)}, largest magnitude ${num(most)}${pins.has(c) ? ', pinned' : ''}`,
    }, picture, h('span.tag', { title: 'pin (p)', onclick: (e) => { e.stopPropagation(); pin(c); } }, String(c)));
  });
  const grid = h(channels <= 16 ? '.tiles.few' : '.tiles', { role: 'grid', 'aria-label': `${channels} ${flat ? 'numbers' : 'channels'} of ${node.id}` }, h('.row', { role: 'row' }, tiles));
  const open = (tile) => go({ c: Number(tile.dataset.channel) });
  rove(grid, { cells: () => tiles, onmove: (tile) => announce(tile.getAttribute('aria-label')), onopen: open });
  const pin = (c) => {
    if (c === undefined || c === null) return;
    if (!pins.delete(Number(c))) pins.add(Number(c));
    go({ pin: [...pins].join(',') || undefined }, { replace: true });
  };
  grid.addEventListener('keydown', (e) => {
    if (e.key === 'p') pin(document.activeElement?.getAttribute('data-channel'));
  });
  const note = h('p.note', { role: 'status' });
  host.append(heading(context, node.id),
    h('section', {}, h('.bar-of-tools', {}, chips('order', ORDERS, place.sort ?? 'index', (sort) => go({ sort: sort === 'index' ? undefined : sort }, { replace: true })), legend(scale)),
      grid, note));
  context.field(null);
  setTimeout(() => later.forEach((draw) => draw()));
  if (!flat && node.kind !== 'input') markDead(context, grid, note);
}

/** Mark the channels that no test picture wakes. @param {Context} context @param {HTMLElement} grid @param {HTMLElement} note */
async function markDead({ api, node, signal }, grid, note) {
  const answer = await api.dead(node.id).catch(() => null);
  if (!answer || signal.aborted) return;
  for (const c of answer.dead) {
    const tile = grid.querySelector(`#channel-${c}`);
    tile?.classList.add('dead');
    tile?.setAttribute('aria-label', `${tile.getAttribute('aria-label')}, dead`);
  }
  const n = answer.dead.length;
  note.textContent = n ? `${count(n)} of ${count(node.shape[0])} channels are dead: above zero nowhere in ${count(answer.pictures)} test pictures.`
    : `No channel is dead: each is above zero somewhere in ${count(answer.pictures)} test pictures.`;
}
