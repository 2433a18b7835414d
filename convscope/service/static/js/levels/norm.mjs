/** One number of a BatchNorm: γ(x − μ)/√(σ² + ε) + β step by step, by the running statistics and by those of a batch. */

import { batchNormCell } from '../arithmetic.mjs';
import { h } from '../dom.mjs';
import { count, num } from '../format.mjs';
import { rove } from '../grid.mjs';
import { chips, hero, panel } from '../parts.mjs';
import { walk } from '../walk.mjs';
import { beside, cellAt, follow, fraction, moving, root } from './cell.mjs';

/** @typedef {import('../main.mjs').Context} Context */

const OFFERED = 12; // pictures to choose mates from

/** @param {HTMLElement} host @param {Context} context */
export async function show(host, context) {
  const { api, node, place, go } = context;
  const mode = place.mode === 'train' ? 'train' : 'eval';
  const { cell, index, id, name } = cellAt(context), [c] = cell;
  const held = async (tensor, otherwise) => tensor in node.tensors ? (await api.tensor(node.id, tensor)).data[c] : otherwise;
  const [weight, bias, mean, variance] = await Promise.all([held('weight', 1), held('bias', 0), held('running_mean', 0), held('running_var', 1)]);
  const running = await column(context, {}, { mean, variance });
  const batch = /** @type {any} */ (await column(context, { mode: 'train', mates: place.mates }).catch((problem) => ({ problem })));
  if (mode === 'train' && batch.problem) throw batch.problem;

  /** @param {typeof running} way */
  const worked = ({ input, output, statistics }) => {
    const x = input.data[index];
    return { x, value: output.data[index], statistics, ...batchNormCell(x, { ...statistics, eps: node.settings.eps, weight, bias }) };
  };
  const ofRunning = worked(running), ofBatch = batch.problem ? null : worked(batch);
  const [chosen, shown] = mode === 'train' && ofBatch ? [ofBatch, batch] : [ofRunning, running];
  const { mean: μ, variance: σ2 } = chosen.statistics;
  const v = (n) => h('span.term', {}, num(n));

  host.append(
    beside(hero(chosen, id, name), moving(context, shown.input, 'x', 'x, before'), '→', moving(context, shown.output, 'y', 'y, normalised')),
    h('.formula', { role: 'math', 'aria-label': 'gamma times x minus mu, over the root of sigma squared plus epsilon, plus beta' },
      h('i', {}, 'γ'), h('span.op', {}, ' · '), fraction([h('i', {}, 'x'), ' − ', h('i', {}, 'μ')], root(h('i', {}, 'σ'), '² + ', h('i', {}, 'ε'))), h('span.op', {}, ' + '), h('i', {}, 'β'),
      h('span.op', {}, ' = '), v(weight), h('span.op', {}, ' · '), fraction([v(chosen.x), μ < 0 ? ' + ' : ' − ', v(Math.abs(μ))], root(v(σ2), ' + ', String(node.settings.eps))), h('span.op', {}, bias < 0 ? ' − ' : ' + '), v(Math.abs(bias)),
      h('span.op', {}, ' = '), h('strong', {}, num(chosen.sum, { wide: true }))),
    h('p', {}, follow(context, node.inputs[0], cell)),
    chips('statistics', [['eval', 'eval: running statistics'], ['train', 'train: this batch']], mode, (to) => go({ mode: to === 'train' ? 'train' : undefined }, { replace: true })),
    panel(context, 'steps', 'Step by step', steps(ofRunning, ofBatch, mode, { weight, bias, eps: node.settings.eps }),
      h('p.note', {}, batch.problem ? batch.problem.message : `In use a network normalises by what it remembers of training; in training by the batch at hand, here the ${count(batch.count)} numbers of this channel in ${place.mates ? `${place.mates.split(',').length + 1} pictures` : 'this one picture'}.`)),
    panel(context, 'mates', 'Batch mates', h('p.note', {}, 'Choose pictures to take into the batch.'), await mates(context)));
  context.field(node.id, place.y, place.x);
}

/** What one of the two ways starts from. @param {Context} context @param {any} how @param {any} [statistics] */
async function column({ api, node, place }, how, statistics) {
  const img = place.img;
  const [input, output, found] = await Promise.all([api.output(img, node.inputs[0], how), api.output(img, node.id, how),
    statistics ? null : api.statistics(img, node.id, place.mates)]);
  const c = place.c ?? 0;
  return { input, output, count: found?.count, statistics: statistics ?? { mean: found.mean[c], variance: found.var[c] } };
}

/** @param {any} running @param {any} batch @param {string} mode @param {any} held */
function steps(running, batch, mode, { weight, bias, eps }) {
  const rows = /** @type {[string, (way: any) => number][]} */ ([
    ['x', (way) => way.x], ['μ', (way) => way.statistics.mean], ['σ²', (way) => way.statistics.variance],
    ['x − μ', (way) => way.terms.centred], [`√(σ² + ${eps})`, (way) => way.terms.deviation], ['x̂ = (x − μ) / √(σ² + ε)', (way) => way.terms.normalised],
    [`γ · x̂, γ = ${num(weight)}`, (way) => way.terms.scaled], [`γ · x̂ + β, β = ${num(bias)}`, (way) => way.sum], ['the model says', (way) => way.value]]);
  const on = (way) => way === mode ? 'td.n.chosen' : 'td.n';
  return h('table.terms.steps', {},
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'step'), h('th.n', { scope: 'col' }, 'running (eval)'), batch && h('th.n', { scope: 'col' }, 'batch (train)'))),
    h('tbody', {}, rows.map(([name, of]) => h('tr', {}, h('th', { scope: 'row' }, name), h(on('eval'), {}, num(of(running), { places: 5, wide: true })), batch && h(on('train'), {}, num(of(batch), { places: 5, wide: true }))))));
}

/** Pictures to put into the batch. @param {Context} context */
async function mates({ api, graph, place, go }) {
  const source = graph.sources.find(({ name }) => place.img?.startsWith(`${name}:`)) ?? graph.sources[0];
  const first = Math.max(0, Number(place.img?.split(':')[1]) + 1 || 0) % Math.max(1, (source.count ?? OFFERED) - OFFERED);
  const refs = walk ? [] : Array.from({ length: OFFERED }, (_, n) => `${source.name}:${first + n}`).filter((ref) => ref !== place.img);
  const chosen = new Set((place.mates ?? '').split(',').filter(Boolean));
  const pick = (ref) => {
    if (!chosen.delete(ref)) chosen.add(ref);
    go({ mode: 'train', mates: [...chosen].join(',') || undefined }, { replace: true });
  };
  const all = [...new Set([...chosen, ...refs])];
  const buttons = await Promise.all(all.map(async (ref) => h('button.mate', { type: 'button', id: `mate-${ref}`, 'data-ref': ref, 'aria-pressed': String(chosen.has(ref)), 'aria-label': `${ref} in the batch` },
    h('img.pixels', { src: await api.picture(ref), alt: '' }))));
  const box = h('.mates', { role: 'toolbar', 'aria-label': 'pictures in the batch' }, buttons);
  rove(box, { cells: () => buttons, onopen: (button) => pick(button.dataset.ref) });
  return box;
}
