/** A second checkpoint in; its answer to the same picture beside the first one's, at every level, out. */

import { api } from './api.mjs';
import { paint, scaleOf } from './colour.mjs';
import { h } from './dom.mjs';
import { exact32, minus, percent } from './format.mjs';
import { mapGrid } from './grid.mjs';
import { cellAt } from './levels/cell.mjs';

/** @typedef {import('./main.mjs').Context} Context */

/** Whether two models see the same picture under one reference. @param {import('./api.mjs').Graph} a @param {import('./api.mjs').Graph} b */
const alike = (a, b) => String([a.input_shape, a.classes]) === String([b.input_shape, b.classes]);

/** What the other one says, for the rail. @param {Pick<Context, 'place' | 'signal' | 'graph'>} context */
export async function verdict({ place, signal, graph: mine }) {
  const other = api(place.compare ?? '', '', signal), graph = await other.graph();
  if (!alike(mine, graph)) return h('p.note', { id: 'compared' }, `${graph.name} has other classes or another size of picture: it cannot be compared.`);
  const run = await other.run(place.img);
  return h('div', { id: 'compared' }, h('p.eyebrow', {}, `${graph.name} says`), h('p.verdict', {}, graph.classes[run.index], h('span.quiet', {}, ` ${percent(run.probabilities[run.index])}`)));
}

/** Add the other's numbers to a level, where it has the same layer. @param {HTMLElement} host @param {Context} context */
export async function compare(host, context) {
  const { place, graph, node, signal } = context;
  if (!place.compare || place.compare === graph.name || !node || place.level) return;
  const name = place.compare, other = api(name, '', signal);
  const theirs = await other.graph(), twin = theirs.nodes.find((n) => n.id === node.id);
  if (!alike(graph, theirs)) return; // the rail says so
  if (!twin || String(twin.shape) !== String(node.shape)) {
    host.append(h('p.note', {}, `${name} has no layer ${node.id} that gives ${node.shape.join('×')}: nothing to compare here.`));
    return;
  }
  const { data, shape } = await other.output(place.img, node.id);
  const proof = host.querySelector('#focus .proof'), cell = host.querySelector('#focus')?.getAttribute('data-cell');
  if (proof && cell?.startsWith(`${node.id}:`)) {
    const at = cellAt(context).index;
    proof.append(h('div', { id: 'compared-value', 'data-value': data[at] }, h('dt', {}, name), h('dd', {}, minus(exact32(data[at])))));
    return;
  }
  const [, height = 1, width = 1] = shape, size = height * width;
  const scale = scaleOf(data);
  if (place.c !== undefined && size > 1) {
    const start = place.c * size;
    host.append(h('section.panel', {}, h('h2', {}, `The same channel of ${name}`), mapGrid({ data, height, width, start, scale: scaleOf(data, start, start + size), id: 'compared-cell', size: 300, label: `channel ${place.c} of ${name}` })));
  } else if (size > 1) {
    host.append(h('section.panel', {}, h('h2', {}, `The same layer of ${name}`), h('.tiles', { role: 'img', 'aria-label': `${shape[0]} channels of ${name}` }, h('.row', {}, Array.from({ length: shape[0] }, (_, c) => {
      const canvas = h('canvas.pixels');
      paint(canvas, data, height, width, scale, c * size);
      return h('.tile', {}, canvas, h('span.tag', {}, String(c)));
    })))));
  }
}
