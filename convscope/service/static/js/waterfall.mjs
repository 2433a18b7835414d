/** Terms of a sum in; a table out in which each bar starts where the sum before it ended, down to the number itself. */

import { h, swapChildren } from './dom.mjs';
import { count, num } from './format.mjs';
import { rove } from './grid.mjs';
import { chips } from './parts.mjs';

/**
 * @typedef {{key: number, value: number, cells: () => any[]}} Term `key` its place in the order of the layer; `cells` what stands
 *   before the number, the first of them the row's name
 */

/**
 * @param {{terms: Term[], heads: string[], last?: [string, number] | null, words: [string, string], label: string, few?: number,
 *   selected?: number, onselect?: (term: Term) => void, onopen?: (term: Term) => void}} options `last` a term that comes at the end (the bias); `words` one and many
 * @returns {HTMLElement}
 */
export function waterfall({ terms, heads, last = null, words, label, few = 10, selected, onselect, onopen }) {
  let order = 'size', all = terms.length <= few + 2;
  const box = h('div');
  const draw = () => {
    const sorted = order === 'size' ? terms.slice().sort((a, b) => Math.abs(b.value) - Math.abs(a.value)) : terms;
    const shown = all ? sorted : sorted.slice(0, few);
    const rest = all ? [] : sorted.slice(few);
    /** @type {{value: number, term: Term | null, cells: any[]}[]} */
    const rows = shown.map((term) => ({ value: term.value, term, cells: term.cells() }));
    const blank = (name) => [name, ...Array(heads.length - 1).fill('')];
    if (rest.length) rows.push({ value: rest.reduce((sum, t) => sum + t.value, 0), term: null, cells: blank(`the other ${count(rest.length)}`) });
    if (last) rows.push({ value: last[1], term: null, cells: blank(last[0]) });
    let run = 0, low = 0, high = 0;
    for (const { value } of rows) { run += value; low = Math.min(low, run); high = Math.max(high, run); }
    const wide = high - low || 1, at = (v) => 100 * (v - low) / wide;
    run = 0;
    const body = rows.map(({ value, term, cells }) => {
      const from = run;
      run += value;
      const bar = h(value < 0 ? 'i.less' : 'i.more', { style: { left: `${at(Math.min(from, run))}%`, width: `${100 * Math.abs(value) / wide}%` } });
      return h(term ? 'tr' : 'tr.rest', { id: term ? `term-${term.key}` : null, 'aria-selected': term && onselect ? String(term.key === selected) : null },
        h('th', { scope: 'row' }, cells[0]), cells.slice(1).map((cell) => h('td', {}, cell)), h('td.n', {}, num(value, { sign: true, wide: true })),
        h('td.fall', {}, h('span.bar', { style: { '--zero': `${at(0)}%` } }, bar)), h('td.n.run', {}, num(run, { wide: true })));
    });
    const table = h('table.terms', { 'aria-label': label, role: onselect ? 'grid' : null },
      h('thead', {}, h('tr', {}, heads.map((head) => h('th', { scope: 'col' }, head)), h('th.n', { scope: 'col' }, 'adds'), h('th.fall', { scope: 'col' }, ''), h('th.n.run', { scope: 'col' }, 'so far'))),
      h('tbody', {}, body));
    const pick = (term) => {
      selected = term.key;
      for (const row of table.querySelectorAll('tr[aria-selected]')) row.setAttribute('aria-selected', String(row.id === `term-${term.key}`));
      onselect?.(term);
    };
    if (onselect) {
      const list = [...table.querySelectorAll('tr[aria-selected]')];
      const choose = (_, i) => pick(rows[i].term);
      rove(table, { cells: () => list, start: Math.max(0, shown.findIndex((t) => t.key === selected)), onmove: choose, onopen: (row, i) => onopen ? onopen(shown[i]) : choose(row, i) });
    }
    swapChildren(box,
      h('.bar-of-tools', {}, terms.length > 1 ? chips('terms', [['size', 'largest first'], ['layer', 'in order']], order, (value) => { order = value; draw(); }) : null,
        terms.length > few + 2 ? h('button.quiet-button', { id: 'terms-all', type: 'button', 'aria-pressed': String(all), onclick: () => { all = !all; draw(); } }, all ? `only ${few} ${words[1]}` : `all ${count(terms.length)} ${words[1]}`) : null),
      h('.scroll', {}, table));
  };
  draw();
  return box;
}
