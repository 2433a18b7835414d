/** The last layer: pooled features × weights = logits, softmax step by step, and the largest contributions to a class. */

import { linearCell, softmax } from '../arithmetic.mjs';
import { h } from '../dom.mjs';
import { num, percent } from '../format.mjs';
import { rove } from '../grid.mjs';
import { chips, hero, panel } from '../parts.mjs';
import { check } from './cell.mjs';
import { bar, contributions } from './contributions.mjs';
import { origin } from './features.mjs';

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, graph, node, place, go } = context;
  const img = place.img;
  const [features, output, weight, bias, run] = await Promise.all([api.output(img, node.inputs[0]), api.output(img, node.id), api.tensor(node.id, 'weight'),
    node.tensors.bias ? api.tensor(node.id, 'bias') : null, api.run(img)]);
  const sorted = [...run.probabilities.keys()].sort((a, b) => run.probabilities[b] - run.probabilities[a]);
  const k = Math.min(place.c ?? sorted[0], output.shape[0] - 1);
  const rival = k === sorted[0] ? sorted[1] : sorted[0];
  const against = place.sort === 'against';
  const cells = graph.classes.map((_, o) => linearCell(features, weight, bias, o));
  const cell = cells[k], other = cells[rival];
  const from = origin(context);
  const rows = cell.terms.map(({ c, input, weight: w, product }) => ({
    key: c, name: from.name(c), cells: against ? [input, w - other.terms[c].weight] : [input, w], product: against ? product - other.terms[c].product : product,
  }));
  host.append(
    hero({ value: output.data[k], ...cell }, `${node.id}:${k}`, `${node.id}, the logit of ${graph.classes[k]}`),
    panel(context, 'classes', 'Logits to probabilities', probabilities(context, run, output.data, cells, k)),
    panel(context, 'contributions', `What argues for ${graph.classes[k]}${against ? ` rather than ${graph.classes[rival]}` : ''}`,
      chips('compare', [['alone', 'this class alone'], ['against', `against ${graph.classes[rival]}`]], against ? 'against' : 'alone', (to) => go({ sort: to === 'against' ? to : undefined }, { replace: true })),
      contributions({
        id: 'feature', columns: ['feature', 'value', against ? 'weight, difference' : 'weight', 'product'], rows, shown: 12, open: from.open,
        caption: against ? `All ${rows.length} products${bias ? ' and the biases' : ''} come to ${num(cell.sum - other.sum, { sign: true, wide: true })}: by so much the logit of ${graph.classes[k]} is ${cell.sum < other.sum ? 'behind' : 'ahead'}.`
          : `All ${rows.length} products${bias ? ` and the bias, ${num(cell.bias, { sign: true })},` : ''} come to ${num(cell.sum, { wide: true })}. Enter follows one down.`,
      })));
  context.field(null);
}

/**
 * A row a class, the likeliest first: the logit, less the largest, its exponential, that over their sum.
 * @param {import('../main.mjs').Context} context @param {Float32Array} logits @param {any[]} cells @param {number} chosen
 */
function probabilities({ graph, node, go }, run, logits, cells, chosen) {
  const { shifted, exponentials, divisor, cells: results } = softmax(logits);
  const order = [...results.keys()].sort((a, b) => logits[b] - logits[a]);
  const widest = Math.max(...Array.from(logits, Math.abs));
  const rows = order.map((k) => {
    const logit = h('td.n', {}, num(logits[k])), probability = h('td.n', {}, percent(run.probabilities[k]));
    check(logit, `${node.id}:${k}`, logits[k], cells[k]);
    check(probability, `softmax:${k}`, run.probabilities[k], results[k]);
    return h('tr', { id: `class-${k}`, 'data-key': k, 'aria-selected': String(k === chosen) },
      h('th', { scope: 'row' }, graph.classes[k]), h('td.bars', {}, bar(logits[k], widest)), logit, h('td.n.wide', {}, num(shifted[k], { wide: true })), h('td.n.wide', {}, num(exponentials[k], { wide: true })), probability);
  });
  const table = h('table.terms', { role: 'grid', 'aria-label': 'classes' },
    h('caption', {}, `The exponentials sum to ${num(divisor, { wide: true })}; each over that sum is a probability.`),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'class'), h('th.bars', { 'aria-label': 'logit as a bar' }), h('th.n', { scope: 'col' }, 'logit z'), h('th.n.wide', { scope: 'col' }, 'z − max'), h('th.n.wide', { scope: 'col' }, 'exp(z − max)'), h('th.n', { scope: 'col' }, 'probability'))),
    h('tbody', {}, rows));
  rove(table, { cells: () => rows, start: order.indexOf(chosen), onopen: (tr) => {
    if (Number(tr.dataset.key) !== chosen) go({ c: Number(tr.dataset.key) }, { replace: true });
    else table.closest('.level').querySelector('#table-feature [tabindex="0"]').focus(); // Enter again goes on
  } });
  return table;
}
