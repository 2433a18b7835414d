/** Cells in, one tab stop out: arrows move, Enter goes down, Home and End to the ends of a row, Escape is left to the page. */

import { css, ink, paint, scaleOf } from './colour.mjs';
import { h } from './dom.mjs';
import { num } from './format.mjs';

export const MOVES = /** @type {Record<string, [number, number]>} */ ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] });

/**
 * Make existing cells one tab stop. For tables (by row and column) and for wrapping rows of tiles (by where they lie).
 * @param {HTMLElement} container has or gets role=grid, or is a table
 * @param {{cells: () => HTMLElement[], onmove?: (cell: any, index: number) => void, onopen?: (cell: any, index: number) => void, start?: number}} options
 */
export function rove(container, { cells, onmove, onopen, start = 0 }) {
  const stop = (at) => cells().forEach((cell, i) => cell.setAttribute('tabindex', i === at ? '0' : '-1'));
  stop(start);
  container.addEventListener('focusin', (event) => {
    const at = cells().indexOf(/** @type {HTMLElement} */ (event.target));
    if (at >= 0) stop(at);
  });
  container.addEventListener('keydown', (event) => {
    const list = cells();
    const now = list.indexOf(/** @type {HTMLElement} */ (/** @type {HTMLElement} */ (event.target).closest('[tabindex]')));
    if (now < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target instanceof HTMLInputElement && event.key !== 'ArrowUp' && event.key !== 'ArrowDown' && event.key !== 'Enter') return;
    if (event.key === 'Enter' || event.key === ' ') {
      if (!onopen) return;
      event.preventDefault();
      onopen(list[now], now);
      return;
    }
    let next = -1;
    if (event.key === 'Home') next = 0;
    else if (event.key === 'End') next = list.length - 1;
    else if (event.key === 'ArrowLeft') next = now - 1;
    else if (event.key === 'ArrowRight') next = now + 1;
    else if (event.key in MOVES) {
      const box = list[now].getBoundingClientRect(), down = event.key === 'ArrowDown';
      let best = Infinity;
      list.forEach((cell, i) => {
        const other = cell.getBoundingClientRect();
        const step = down ? other.top - box.top : box.top - other.top;
        const far = step + Math.abs(other.left - box.left) * 4;
        if (step > 1 && far < best) { best = far; next = i; }
      });
    } else return;
    event.preventDefault();
    if (!list[next]) return;
    list[next].focus();
    onmove?.(list[next], next);
  });
  container.addEventListener('click', (event) => {
    const cell = /** @type {HTMLElement} */ (event.target).closest('[tabindex]');
    const i = cells().indexOf(/** @type {HTMLElement} */ (cell));
    if (i < 0) return;
    onmove?.(cell, i);
    onopen?.(cell, i);
  });
}

/**
 * A map on a canvas with one live cell over it: role=grid with the counts, the cell says row, column and value.
 * @param {{data: ArrayLike<number>, height: number, width: number, start?: number, scale?: number, label: string, id: string,
 *   at?: [number, number], describe?: (y: number, x: number, v: number) => string, size?: number,
 *   onhover?: (y: number, x: number, v: number) => void, onmove?: (y: number, x: number, v: number) => void, onopen?: (y: number, x: number) => void,
 *   mark?: (cell: HTMLElement, y: number, x: number, v: number) => void}} options
 *   `describe` what is read aloud; `onmove` arrows or a click; `mark` puts data-… on the live cell; `size` the longest side in pixels
 * @returns {HTMLElement & {redraw: (data: ArrayLike<number>, scale?: number) => void, move: (y: number, x: number) => void}}
 */
export function mapGrid(options) {
  const { height, width, start = 0, label, id, onmove, onopen, mark } = options;
  let data = options.data, scale = options.scale ?? scaleOf(data, start, start + height * width);
  let [y, x] = options.at ?? [0, 0];
  const canvas = h('canvas.pixels', { 'aria-hidden': 'true' });
  const cell = h('.live', { id, role: 'gridcell', tabindex: 0 });
  const side = options.size ?? 448;
  const box = h('.map', {
    role: 'grid', 'aria-label': label, 'aria-rowcount': height, 'aria-colcount': width,
    style: { '--ratio': width / height, '--wide': `${Math.round(width >= height ? side : side * width / height)}px` },
  }, canvas, h('.row', { role: 'row' }, cell));
  const value = () => data[start + y * width + x];
  const describe = options.describe ?? ((r, c, v) => `row ${r}, column ${c}: ${num(v)}`);
  const place = () => {
    cell.style.setProperty('inset', `${100 * y / height}% auto auto ${100 * x / width}%`);
    cell.style.setProperty('width', `${100 / width}%`);
    cell.style.setProperty('height', `${100 / height}%`);
    cell.setAttribute('aria-rowindex', String(y + 1));
    cell.setAttribute('aria-colindex', String(x + 1));
    cell.setAttribute('aria-label', describe(y, x, value()));
    mark?.(cell, y, x, value());
  };
  const move = (r, c) => {
    y = Math.max(0, Math.min(height - 1, r));
    x = Math.max(0, Math.min(width - 1, c));
    place();
  };
  box.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in MOVES) move(y + MOVES[event.key][0], x + MOVES[event.key][1]);
    else if (event.key === 'Home') move(y, 0);
    else if (event.key === 'End') move(y, width - 1);
    else if ((event.key === 'Enter' || event.key === ' ') && onopen) { event.preventDefault(); onopen(y, x); return; }
    else return;
    event.preventDefault();
    onmove?.(y, x, value());
  });
  const under = (event) => {
    const area = canvas.getBoundingClientRect();
    return [Math.floor((event.clientY - area.top) / area.height * height), Math.floor((event.clientX - area.left) / area.width * width)];
  };
  box.addEventListener('pointermove', (event) => {
    const [r, c] = under(event);
    if (event.pointerType !== 'mouse' || !options.onhover || (r === y && c === x)) return;
    move(r, c);
    options.onhover(y, x, value());
  });
  box.addEventListener('click', (event) => {
    const [r, c] = under(event);
    move(r, c);
    onmove?.(y, x, value());
    onopen?.(y, x);
  });
  const redraw = (fresh, wide = scale) => {
    data = fresh;
    scale = wide;
    paint(canvas, data, height, width, scale, start);
    place();
  };
  redraw(data);
  return Object.assign(box, { redraw, move });
}

/**
 * A real table of numbers, coloured by value; padding (`outside`) is hatched.
 * @param {{data: ArrayLike<number>, rows: number, cols: number, scale: number, caption: string, start?: number,
 *   outside?: (r: number, c: number) => boolean, places?: number, wide?: boolean, cell?: (td: HTMLElement, r: number, c: number, v: number) => void}} options
 * @returns {HTMLTableElement}
 */
export function numberTable({ data, rows, cols, scale, caption, start = 0, outside, places = 3, wide, cell }) {
  const body = h('tbody');
  for (let r = 0; r < rows; r++) {
    const row = h('tr');
    for (let c = 0; c < cols; c++) {
      const v = data[start + r * cols + c];
      const off = outside?.(r, c);
      const td = h(off ? 'td.outside' : 'td', { style: off ? {} : { background: css(v, scale), color: ink(v, scale) } }, off ? '0' : num(v, { places, wide }));
      cell?.(td, r, c, v);
      row.append(td);
    }
    body.append(row);
  }
  return h('table.numbers', {}, h('caption', {}, caption), body);
}
