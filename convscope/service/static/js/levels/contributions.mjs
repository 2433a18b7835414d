/** Products in; the largest of them as signed bars, and what the others come to, out. */

import { css } from '../colour.mjs';
import { h } from '../dom.mjs';
import { num } from '../format.mjs';
import { rove } from '../grid.mjs';

/** @param {number} v @param {number} scale */
export function bar(v, scale) {
  const wide = Math.min(50, (50 * Math.abs(v)) / scale);
  return h('span.bar.signed', { 'aria-hidden': 'true' }, h('i', { style: { left: `${v < 0 ? 50 - wide : 50}%`, width: `${wide}%`, background: css(v, scale * 1.3) } }));
}

/**
 * @param {{id: string, caption: string, columns: string[], rows: {key: any, name: string, cells: number[], product: number}[],
 *   chosen?: any, shown?: number, open?: (key: any) => void}} options `columns` name, factors, product
 */
export function contributions({ id, caption, columns, rows, chosen, shown = 10, open }) {
  const sorted = rows.slice().sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  const scale = Math.abs(sorted[0]?.product) || 1;
  const rest = sorted.slice(shown).reduce((sum, { product }) => sum + product, 0);
  const others = sorted.length - shown, at = sorted.findIndex(({ key }) => key === chosen);
  const table = h('table.terms', { role: open ? 'grid' : null, id: `table-${id}` }, h('caption', {}, caption),
    h('thead', {}, h('tr', {}, columns.map((name, i) => h(i ? 'th.n' : 'th', { scope: 'col' }, name)), h('th.bars', { scope: 'col', 'aria-label': 'as a bar' }))),
    h('tbody', {}, sorted.slice(0, shown).map(({ key, name, cells, product }) => h('tr', { id: `${id}-${key}`, 'data-key': key, 'aria-selected': open ? String(key === chosen) : null, tabindex: open ? -1 : null },
      h('th', { scope: 'row' }, name), cells.map((v) => h('td.n', {}, num(v))), h('td.n', {}, num(product, { sign: true, wide: true })), h('td.bars', {}, bar(product, scale)))),
    others > 0 && h('tr.rest', {}, h('th', { scope: 'row' }, others === 1 ? 'one more' : `${others} more`), columns.slice(2).map(() => h('td')), h('td.n', {}, num(rest, { sign: true, wide: true })), h('td.bars'))));
  if (open) {
    const cells = () => [...table.querySelectorAll('tr[data-key]')];
    rove(table, { cells, start: at > 0 && at < shown ? at : 0, onopen: (tr) => open(Number(tr.dataset.key)) });
  }
  return table;
}
