/** Model and picture in; beside every level, the picture as the network sees it and what the network says, out. */

import { verdict } from './compare.mjs';
import { byId, h, svg, swapChildren } from './dom.mjs';
import { percent } from './format.mjs';
import { open } from './gallery.mjs';
import { nextMistake } from './mistakes.mjs';
import { walk } from './walk.mjs';

const NEXT = 'next mistake ›';
let drawn = '';

/**
 * @param {import('./gallery.mjs').Needs} context
 * @returns {{field: (node: string | null, y?: number, x?: number) => void}}
 */
export function rail(context) {
  const { api, graph, place } = context;
  const aside = byId('rail');
  const state = [graph.sha256, place.img, place.edits, place.compare, place.target].join(' ');
  if (drawn !== state || !aside.firstChild) {
    drawn = state;
    draw(aside, context).catch((problem) => {
      drawn = '';
      if (!context.signal.aborted) swapChildren(aside, !problem.silent && h('p.problem', { role: 'alert' }, problem.message), chooser(context));
    });
  }
  let wanted = '';
  return { field: async (node, y = 0, x = 0) => {
    const box = aside.querySelector('.field');
    wanted = node ? `${node}:${y},${x}` : '';
    const mine = wanted;
    if (!node) { box?.setAttribute('hidden', ''); return; }
    const area = await api.receptive(node, y, x).catch(() => null);
    if (mine !== wanted || !area || context.signal.aborted) return;
    const rect = aside.querySelector('.field rect');
    for (const [k, v] of Object.entries({ x: area.left, y: area.top, width: area.right - area.left, height: area.bottom - area.top })) rect?.setAttribute(k, String(v));
    aside.querySelector('.field')?.removeAttribute('hidden');
  } };
}

/** @param {any} context */
const chooser = (context) => h('button.button', { id: 'choose', type: 'button', onclick: () => open(context) }, 'Choose a picture');

/** @param {HTMLElement} aside @param {any} context */
async function draw(aside, context) {
  const { api, graph, place, go, signal, announce } = context;
  const [url, run] = await Promise.all([api.picture(place.img), api.run(place.img)]);
  if (signal.aborted) { drawn = ''; return; }
  const [, height, width] = graph.input_shape;
  const [source, at] = place.img.split(':');
  const own = !walk && graph.sources.find((s) => s.name === source), total = own?.count;
  const step = (by) => go({ img: `${source}:${total ? (Number(at) + by + total) % total : Math.max(0, Number(at) + by)}` });
  const order = run.probabilities.map((p, i) => [p, i]).sort((a, b) => b[0] - a[0]).slice(0, 5);
  const wrong = run.true !== null && run.true !== graph.classes[run.index];
  const mistakes = h('button.quiet-button', { id: 'next-mistake', type: 'button', onclick: async () => {
    const say = (text) => { mistakes.textContent = text; };
    say('looking…');
    const ref = await nextMistake(api, place.img, (found) => say(`looking… ${found} so far`)).catch((problem) => announce(problem.message, true));
    if (ref && ref !== place.img) go({ img: ref });
    else say(ref === undefined ? NEXT : 'no other mistake');
  } }, NEXT);
  const other = h('div');
  if (place.compare && place.compare !== graph.name) verdict(context).then((said) => other.replaceWith(said), (problem) => other.replaceWith(problem.message));
  swapChildren(aside,
    h('figure.picture', {},
      h('.frame', {}, h('img.pixels', { src: url, alt: `the picture ${place.img}, as the network sees it`, width, height }),
        svg('svg.field', { viewBox: `0 0 ${width} ${height}`, hidden: true, 'aria-hidden': 'true' }, svg('rect', {}))),
      h('figcaption', {}, own ? h('button.quiet-button', { id: 'before', type: 'button', 'aria-label': 'Picture before', onclick: () => step(-1) }, '‹') : null,
        h('span', {}, place.img.startsWith('up:') ? 'your picture' : place.img),
        own ? h('button.quiet-button', { id: 'after', type: 'button', 'aria-label': 'Next picture', onclick: () => step(1) }, '›') : null)),
    h('.says', {},
      h('p.eyebrow', {}, run.true === null ? 'the network says' : `labelled ${run.true}; the network says`),
      h('p.verdict', {}, graph.classes[run.index], h('span.quiet', {}, ` ${percent(run.probabilities[run.index])}`), wrong ? h('span.breaks', {}, ' mistaken') : null),
      h('ol.odds', {}, order.map(([p, i]) => h('li', {}, h('span', {}, graph.classes[i]), h('span.track', {}, h('span.fill', { style: { width: `${100 * p}%` } })), h('span.n', {}, percent(p))))),
      other),
    walk ? h('p.note', {}, 'One walk, kept in a file.') : h('.picking', {}, chooser(context), run.true === null ? null : mistakes));
}
