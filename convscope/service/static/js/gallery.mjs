/** The choice of a picture: from the data set, from a file, the clipboard, a drag, a drawing or the camera. */

import { camera } from './camera.mjs';
import { byId, h, swapChildren } from './dom.mjs';
import { drawing } from './drawing.mjs';
import { percent } from './format.mjs';
import { rove } from './grid.mjs';
import { chips } from './parts.mjs';
import { dialogue } from './shell.mjs';
import { walk } from './walk.mjs';

const PAGE = 48;

/** @typedef {Omit<import('./main.mjs').Context, 'field'>} Needs */

/** Send a picture and go to it. @param {Needs} context @param {Blob} file */
export async function send({ api, go, announce }, file) {
  announce('sending the picture');
  const { ref } = await api.upload(file);
  document.querySelector('dialog')?.close();
  go({ img: ref });
}

/** @param {Needs} context */
export function open(context) {
  const { api, graph, place, go } = context;
  const now = (place.img ?? '').split(':')[0];
  let source = graph.sources.find((s) => s.name === now) ?? graph.sources[0];
  let mistakes = false, page = 0, asked = 0;
  const shelf = h('.shelf', { role: 'grid', 'aria-label': 'Pictures' });
  const pages = h('.pages', {}, h('span.quiet', {}, 'asking the network about each…'));
  const problem = h('p.problem', { role: 'alert', hidden: true });
  const tried = (work) => { problem.hidden = true; return work.catch((error) => { problem.hidden = false; problem.textContent = error.message; }); };
  const file = h('input.unseen', { type: 'file', accept: 'image/*', id: 'file', tabindex: -1, 'aria-hidden': 'true', onchange: () => file.files?.[0] && tried(send(context, file.files[0])) });
  const own = h('.own', {}, h('button.button', { id: 'upload', type: 'button', onclick: () => file.click() }, 'Open a file'), file,
    h('button.button', { id: 'draw', type: 'button', onclick: () => {
      problem.hidden = true;
      side.replaceChildren(drawing((blob) => tried(send(context, blob))));
      byId('pen').focus();
    } }, 'Draw'),
    h('button.button', { id: 'camera', type: 'button', onclick: () => tried(camera(side, box, (blob) => tried(send(context, blob)))) }, 'Camera'),
    h('span.quiet', {}, 'or paste one, or drag one here'));
  const side = h('div');
  const tools = h('.bar-of-tools');
  const box = dialogue('Choose a picture', own, problem, side, tools, shelf, pages);
  const fill = async () => {
    const turn = ++asked;
    swapChildren(tools, graph.sources.length > 1 ? chips('source', graph.sources.map((s) => [s.name, s.name]), source.name, (name) => {
      source = graph.sources.find((s) => s.name === name) ?? source; page = 0; fill();
    }) : '', source && source.labelled !== false ? h('label.check', {}, h('input', { type: 'checkbox', id: 'mistakes', checked: mistakes, onchange: (e) => { mistakes = e.target.checked; page = 0; fill(); } }), 'only what the network mistakes') : '');
    if (!source) return;
    shelf.setAttribute('aria-busy', 'true');
    const { total, pictures, complete } = await api.pictures({ source: source.name, start: page * PAGE, count: PAGE, mistakes });
    if (turn !== asked || !box.open) return;
    const cells = pictures.map((p) => {
      const wrong = p.label !== null && p.label !== p.predicted;
      const img = h('img.pixels', { alt: '', width: 64, height: 64 });
      api.picture(p.ref).then((url) => { img.src = url; }, () => {});
      const words = `${p.label === null ? '' : `labelled ${p.label}; `}the network: ${p.predicted} ${percent(p.probability)}`;
      return h(wrong ? '.pick.wrong' : '.pick', { role: 'gridcell', id: `pick-${p.ref.replace(':', '-')}`, 'aria-label': `${p.ref}: ${words}`, title: words, 'aria-selected': String(p.ref === place.img), 'data-ref': p.ref },
        img, h('span', {}, wrong ? `${p.label} ≠ ${p.predicted}` : p.predicted));
    });
    const row = h('.row', { role: 'row' }, cells);
    rove(row, { cells: () => cells, start: Math.max(0, pictures.findIndex((p) => p.ref === place.img)), onopen: (cell) => {
      box.close();
      go({ img: cell.dataset.ref, from: undefined });
    } });
    shelf.removeAttribute('aria-busy');
    swapChildren(shelf, row);
    const last = Math.max(0, Math.ceil(total / PAGE) - 1);
    if (complete === false && pictures.length < PAGE) setTimeout(() => box.open && turn === asked && tried(fill()), 100); // the server looks on
    const leaf = (to) => { page = Math.max(0, Math.min(last, to)); fill(); };
    swapChildren(pages, h('button.quiet-button', { id: 'page-before', type: 'button', 'aria-disabled': page === 0 && 'true', onclick: () => leaf(page - 1) }, '‹ before'),
      h('span.quiet', {}, total ? `${page * PAGE + 1}–${Math.min(total, (page + 1) * PAGE)} of ${total}${complete === false ? ' so far' : ''}` : complete === false ? 'none yet' : 'none here'),
      h('button.quiet-button', { id: 'page-after', type: 'button', 'aria-disabled': page >= last && 'true', onclick: () => leaf(page + 1) }, 'more ›'));
  };
  tried(fill().then(() => shelf.querySelector('[tabindex="0"]')?.focus()));
}

/** A picture pasted or dropped anywhere on the page is sent. @param {() => Needs | null} current */
export function listen(current) {
  const take = (data) => [...data?.files ?? []].find((f) => f.type.startsWith('image/'));
  const go = (event, data) => {
    const file = take(data), context = current();
    if (!file || !context || walk) return;
    event.preventDefault();
    send(context, file).catch((error) => dialogue('That did not work', h('p.problem', { role: 'alert' }, error.message)));
  };
  document.addEventListener('paste', (event) => go(event, event.clipboardData));
  document.addEventListener('dragover', (event) => { if (event.dataTransfer?.types.includes('Files')) event.preventDefault(); });
  document.addEventListener('drop', (event) => go(event, event.dataTransfer));
}
