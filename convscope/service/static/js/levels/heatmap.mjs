/** A class activation map, stage by stage: activations, gradients, channel weights, weighted sum, ReLU, enlarged, overlay. */

import { camCell, channelWeight, heat, placeWeights } from '../arithmetic.mjs';
import { scaleOf } from '../colour.mjs';
import { h } from '../dom.mjs';
import { num } from '../format.mjs';
import { mapGrid } from '../grid.mjs';
import { choice, hero, legend, panel } from '../parts.mjs';
import { check, figure, plane } from './cell.mjs';
import { contributions } from './contributions.mjs';

/** @typedef {import('../main.mjs').Context} Context */

const FORMULAS = {
  'grad-cam': 'w: the mean of the gradient over all places.', 'grad-cam++': 'w: Σ g / (2 + g ΣA) over the places where the gradient g is positive.', 'x-grad-cam': 'w: Σ g A / ΣA, g the gradient.',
  'hires-cam': 'Each place is weighed by the gradient there.', 'layer-cam': 'Each place is weighed by the gradient there where that is positive.',
  'score-cam': 'w: the logit with the channel as a mask on the picture, softmax over the channels.', 'ablation-cam': 'w: what the logit loses without the channel.', cam: 'w: the weights of the head.',
};

/** @param {HTMLElement} host @param {Context} context */
export async function show(host, context) {
  const { api, graph, place } = context;
  const img = place.img;
  const method = graph.methods.find(({ name }) => name === place.method) ?? graph.methods[0];
  const { index: predicted } = await api.run(img);
  const asked = { img, method: method.name, target: place.target ?? predicted, ...(method.needs_layer ? { layer: place.layer ?? graph.cam_layer } : {}) };
  const controls = h('.choices', {}, choice('method', method.name, graph.methods.map(({ name }) => [name, name]), (to) => context.go({ method: to }, { replace: true })),
    method.needs_layer && choice('layer', asked.layer, graph.nodes.filter(({ shape, kind, known }) => shape.length === 3 && kind !== 'input' && known).map(({ id }) => [id, id]), (to) => context.go({ layer: to, level: 'heatmap', c: undefined, y: undefined, x: undefined }, { replace: true })),
    choice('class', asked.target, graph.classes.map((name, k) => [k, name]), (to) => context.go({ target: Number(to) }, { replace: true })));
  host.append(h('header', {}, h('h1', {}, 'Where it looks'), h('p.lead', {}, method.summary)), controls);
  context.field(null);
  const found = await api.heatmap(asked).catch((problem) => problem);
  if (found instanceof Error) {
    host.append(h('p.problem', { role: 'alert', tabindex: -1 }, found.message));
    return;
  }
  const [height, width] = found.shape;
  const y = Math.min(place.y ?? brightest(found, 0), height - 1), x = Math.min(place.x ?? brightest(found, 1), width - 1);
  const sums = method.needs_layer ? await ingredients(context, asked, found) : null;
  const cell = sums?.weights && camCell(sums.weights, sums.activation, [y, x]);
  const value = found.map[y * width + x];
  const at = `${found.method}:map:${y},${x}`, name = `the map at row ${y}, column ${x}, for ${graph.classes[found.target]}`;
  host.append(
    h('.beside', {}, cell ? hero({ value, ...cell }, at, name) : h('.hero', { id: 'focus', 'data-value': value, 'data-cell': at }, h('p.eyebrow', {}, name), h('p.number', {}, num(value, { places: 5 })),
      h('p.note', {}, 'The server’s number. This method runs the network many times or decomposes its features: its map is shown, not computed again.')),
    await overlay(api, asked, graph.classes[found.target])),
    ...(found.evidence === 'none' ? [h('p.problem', { role: 'status' }, `Nothing here argues for ${graph.classes[found.target]}: no value of the map is positive, so the heatmap is empty.`)] : []),
    panel(context, 'stages', 'Stage by stage', stages(context, found, sums, [y, x]), h('p.note', {}, FORMULAS[found.method], sums && ' ∂logit/∂A: how the logit changes with A.')),
    ...(cell && sums ? [panel(context, 'sum', `The sum at row ${y}, column ${x}`, contributions({
      id: 'channel', columns: ['channel', 'weight w', 'activation A', 'w · A'], chosen: sums.c, rows: cell.terms.map(({ k, weight, activation, product }) => ({ key: k, name: `channel\xa0${k}`, cells: [weight, activation], product })),
      caption: `${cell.terms.length} products come to ${num(cell.sum, { wide: true })}.${cell.doubtful && value === 0 ? ' Rounding alone could explain so little: it counts as zero.' : ''}`, open: (c) => context.go({ c, y, x }, { replace: true }),
    }))] : []));
}

/** Row (0) or column (1) of the largest value. @param {any} found @param {number} axis */
function brightest({ map, shape }, axis) {
  const best = map.indexOf(Math.max(...map));
  return axis ? best % shape[1] : Math.floor(best / shape[1]);
}

/** What the map is summed from: activation, gradient, weights. @param {Context} context @param {any} asked */
async function ingredients({ api, place }, { img, layer, target, method }, { weights }) {
  const [activation, gradient] = await Promise.all([api.output(img, layer), api.gradient(img, layer, target)]);
  const c = Math.min(place.c ?? (weights ? weights.indexOf(Math.max(...weights)) : 0), activation.shape[0] - 1);
  return { activation, gradient, c, weights: weights ?? placeWeights(method, gradient), each: !weights };
}

/**
 * The row of pictures. Each has one live cell; they move together.
 * @param {Context} context @param {[number, number]} at
 */
function stages(context, found, sums, at) {
  const { go, place } = context;
  const [y, x] = at, [height, width] = found.shape, [tall, wide] = found.size;
  const pixels = heat(found.map, found.shape, found.size);
  const relu = Float32Array.from(found.map, (v) => Math.max(v, 0));
  const pick = (r, k) => go({ y: r, x: k, c: sums?.c ?? place.c }, { replace: true });
  const stage = (id, caption, options) => {
    const [of, start = 0] = [options.data, options.start];
    const scale = scaleOf(of, start, start + (options.height ?? height) * (options.width ?? width));
    return figure(mapGrid({ height, width, at, size: 320, id: `stage-${id}`, label: caption, onmove: pick, onopen: pick, scale, ...options }), [h('span', {}, caption), legend(scale)]);
  };
  const mark = (id, cellOf) => (live, r, k, v) => check(live, `${found.method}:${id}:${r},${k}`, v, cellOf(r, k));
  const again = (r, k) => sums?.weights ? camCell(sums.weights, sums.activation, [r, k]) : null;
  const above = (cell) => cell && { ...cell, sum: Math.max(cell.sum, 0) };
  const shown = () => null; // a copy of what other levels compute again
  const parts = [];
  if (sums) {
    const start = sums.c * height * width;
    parts.push(stage('activation', `activation A of channel ${sums.c}, in focus`, { data: sums.activation.data, start, mark: mark(`activation:${sums.c}`, shown) }));
    if (FORMULAS[found.method]?.includes('gradient')) {
      parts.push(stage('gradient', 'its gradient ∂logit/∂A', { data: sums.gradient.data, start, mark: mark(`gradient:${sums.c}`, shown) }));
    }
    if (sums.weights && !sums.each) parts.push(weightStage(context, found, sums, stage));
  }
  const map = stage('map', sums?.weights ? 'their sum Σ w·A' : 'the map', { data: found.map, mark: mark('map', again) });
  const positive = stage('relu', 'ReLU: what argues for the class', { data: relu, mark: mark('relu', (r, k) => above(again(r, k))) });
  const to = [Math.floor(((y + 0.5) * tall) / height), Math.floor(((x + 0.5) * wide) / width)];
  const large = stage('heat', `enlarged to ${tall}×${wide}, largest = 1`, {
    data: found.heat, height: tall, width: wide, at: to, onmove: undefined, scale: 1, mark: mark('heat', (r, k) => pixels.cells[r * wide + k]),
    onopen: (r, k) => pick(Math.floor((r * height) / tall), Math.floor((k * width) / wide)),
  });
  return h('.stages', {}, parts, map, positive, large);
}

/** The weight of every channel, to choose one by. @param {Context} context */
function weightStage({ go, place }, found, sums, stage) {
  const [high, broad] = plane([sums.weights.length]);
  const choose = (r, k) => go({ c: r * broad + k, y: place.y, x: place.x }, { replace: true });
  return stage('weight', `weight w of channel ${sums.c}: ${num(sums.weights[sums.c])}`, {
    data: sums.weights, height: high, width: broad, at: [Math.floor(sums.c / broad), sums.c % broad], onmove: choose, onopen: choose,
    describe: (r, k, v) => `channel ${r * broad + k}: weight ${num(v)}`,
    mark: (live, r, k, v) => {
      const c = r * broad + k, cell = channelWeight(found.method, sums.activation, sums.gradient, c);
      if (cell) check(live, `${found.method}:weight:${c}`, v, cell);
      else live.dataset.value = v;
    },
  });
}

/** The heat over the picture, to fade. @param {any} api @param {any} asked @param {string} name */
async function overlay(api, asked, name) {
  const [picture, heated] = await Promise.all([api.picture(asked.img), api.overlay(asked)]);
  const top = h('img', { src: heated, alt: `heatmap for ${name} over the picture` });
  const fade = h('input', { type: 'range', id: 'fade', min: 0, max: 100, value: 100, 'aria-label': 'how much of the heat shows', oninput: () => top.style.setProperty('opacity', String(fade.value / 100)) });
  return figure(h('.overlay', {}, h('img.pixels', { src: picture, alt: '' }), top), ['how much of the heat shows', fade]);
}
