/** The network as it ran: a row a layer with its shape, cost and first maps, and the way the numbers took, shortcuts as arcs. */

import { paint, scaleOf } from '../colour.mjs';
import { h, svg } from '../dom.mjs';
import { count, dims, short } from '../format.mjs';
import { rove } from '../grid.mjs';
import { link } from '../place.mjs';
import { what } from '../words.mjs';

const ROW = 56, HEAD = 52, SPINE = 84, X = 66; // CSS pixels; style.css gives rows the same heights
const STRIP = 9; // maps shown of a layer

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { graph, place, go } = context;
  const total = Math.max(...graph.nodes.map((n) => n.multiply_adds));
  /** @type {Map<string, number>} the middle of each node's row */
  const middle = new Map();
  const body = h('tbody');
  let y = 0, group = '';
  /** @type {[any, HTMLCanvasElement][]} */
  const strips = [];
  for (const node of graph.nodes) {
    if (node.group !== group) {
      group = node.group;
      body.append(h('tr.group', {}, h('td'), h('th', { colspan: 5, scope: 'rowgroup' }, group || graph.model)));
      y += HEAD;
    }
    middle.set(node.id, y + ROW / 2);
    y += ROW;
    const canvas = h('canvas.pixels.strip', { 'aria-hidden': 'true' });
    strips.push([node, canvas]);
    body.append(h('tr.node', { onclick: () => open(node) },
      h('td'),
      h('th', { scope: 'row' }, h('a', { id: `node-${node.id}`, href: link({ ...place, layer: node.id }), onclick: (e) => e.preventDefault() },
        h('span.name', {}, group && node.id.startsWith(`${group}.`) ? node.id.slice(group.length + 1) : node.id), h('span.what', {}, what(node)))),
      h('td.maps-of', {}, canvas),
      h('td.n.shape', {}, dims(node.shape)),
      h('td.n', {}, node.parameters ? count(node.parameters) : ''),
      h('td.n.cost', {}, node.multiply_adds ? [short(node.multiply_adds), h('i', { style: { width: `${100 * node.multiply_adds / total}%` } })] : '')));
  }
  const open = (node) => go({ layer: node.id });
  const table = h('table.graph', { role: 'grid', 'aria-label': 'Layers, in the order in which they ran' },
    h('thead', {}, h('tr', {}, h('td'), h('th', { scope: 'col' }, 'layer'), h('th.maps-of', { scope: 'col' }, 'what it makes of this picture'), h('th.n.shape', { scope: 'col' }, 'output'),
      h('th.n', { scope: 'col' }, 'parameters'), h('th.n.cost', { scope: 'col' }, 'multiply-adds'))), body);
  rove(table, { cells: () => [...table.querySelectorAll('th a')], onopen: (_, i) => open(graph.nodes[i]) });
  const shortcuts = graph.nodes.filter((n) => n.kind === 'add').length;
  host.append(
    h('header', {}, h('h1', {}, graph.name), h('p.lead', {},
      `A ${graph.model} of ${graph.nodes.length - 1} steps${shortcuts ? `, ${shortcuts} of them shortcuts that add` : ''}: ${count(graph.parameters)} parameters, ${short(graph.multiply_adds)} multiply-adds a picture. `
      + 'Each row is one step with what it makes of your picture. Open one and follow a number down.')),
    h('.graph-box', {}, table, spine(graph.nodes, middle, y)));
  context.field(null);
  fill(strips, context);
}

/** The line down the left, and an arc wherever numbers skip rows. @param {any[]} nodes @param {Map<string, number>} middle @param {number} height */
function spine(nodes, middle, height) {
  const paths = [], dots = [];
  const at = (id) => middle.get(id) ?? 0;
  nodes.forEach((node, i) => {
    for (const from of node.inputs) {
      const [a, b] = [at(from), at(node.id)];
      if (from === nodes[i - 1]?.id) paths.push(svg('path', { d: `M${X} ${a}V${b}` }));
      else {
        const bend = Math.min(X - 6, 18 + (b - a) / 9);
        paths.push(svg('path.arc', { d: `M${X} ${a}C${X - bend * 1.3} ${a + 26} ${X - bend * 1.3} ${b - 26} ${X} ${b}` }));
      }
    }
    dots.push(svg(`circle.${node.kind}`, { cx: X, cy: at(node.id), r: node.kind === 'add' ? 9 : node.parameters ? 5.5 : 3.5 }));
    if (node.kind === 'add') dots.push(svg('path.plus', { d: `M${X - 4} ${at(node.id)}h8m-4 -4v8` }));
  });
  return svg('svg.spine', { width: SPINE, height, viewBox: `0 0 ${SPINE} ${height}`, 'aria-hidden': 'true' }, paths, dots);
}

/** Draw the strips, from the top, three at a time. @param {[any, HTMLCanvasElement][]} strips @param {import('../main.mjs').Context} context */
async function fill(strips, { api, place, signal }) {
  const queue = strips.slice();
  const work = async () => {
    for (let next = queue.shift(); next && !signal.aborted; next = queue.shift()) {
      const [node, canvas] = next;
      try {
        strip(canvas, await api.output(place.img, node.id));
      } catch { return; } // the rail says what is wrong
    }
  };
  await Promise.all([work(), work(), work()]);
}

/** The first maps of an output side by side; of a vector, its first numbers. @param {HTMLCanvasElement} canvas @param {import('../api.mjs').Tensor} output */
function strip(canvas, { shape, data }) {
  const scale = scaleOf(data), flat = shape.length === 1;
  const shown = flat ? Math.min(shape[0], 48) : Math.min(shape[0], STRIP);
  const side = 36, gap = 4, dense = window.devicePixelRatio || 1;
  const step = flat ? 8 : side + gap;
  canvas.width = (STRIP * (side + gap)) * dense;
  canvas.height = side * dense;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.imageSmoothingEnabled = false;
  const one = document.createElement('canvas');
  for (let c = 0; c < shown; c++) {
    if (flat) paint(one, data, 1, 1, scale, c);
    else paint(one, data, shape[1], shape[2], scale, c * shape[1] * shape[2]);
    context.drawImage(one, c * step * dense, 0, (flat ? 7 : side) * dense, side * dense);
  }
}
