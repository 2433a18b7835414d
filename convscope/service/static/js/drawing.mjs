/** Strokes of a pointer or of the arrow keys in, a picture of a digit out: white on black. */

import { h } from './dom.mjs';
import { MOVES } from './grid.mjs';

const SIDE = 280, STEP = 20; // what an arrow moves the pen by

/** @param {(blob: Blob) => void} done */
export function drawing(done) {
  const canvas = h('canvas', { width: SIDE, height: SIDE, 'aria-hidden': 'true' });
  const pen = canvas.getContext('2d');
  const clear = () => { pen.fillStyle = '#000'; pen.fillRect(0, 0, SIDE, SIDE); };
  clear();
  Object.assign(pen, { lineWidth: SIDE / 11, lineCap: 'round', lineJoin: 'round', strokeStyle: '#fff' });
  const at = (e) => { const box = canvas.getBoundingClientRect(); return [(e.clientX - box.left) * SIDE / box.width, (e.clientY - box.top) * SIDE / box.height]; };
  canvas.addEventListener('pointerdown', (e) => { canvas.setPointerCapture(e.pointerId); pen.beginPath(); pen.moveTo(...at(e)); pen.lineTo(...at(e)); pen.stroke(); });
  canvas.addEventListener('pointermove', (e) => { if (e.buttons) { pen.lineTo(...at(e)); pen.stroke(); } });
  let x = SIDE / 2, y = SIDE / 2;
  const live = h('.live', { id: 'pen', tabindex: 0, role: 'application', 'aria-label': 'the pen: arrows move it, Shift and arrows draw', style: { width: `${100 * STEP / SIDE}%`, 'aspect-ratio': 1, translate: '-50% -50%' }, onkeydown: (event) => {
    if (!(event.key in MOVES)) return;
    event.preventDefault();
    pen.beginPath();
    pen.moveTo(x, y);
    [y, x] = [y, x].map((from, axis) => Math.max(0, Math.min(SIDE, from + STEP * MOVES[event.key][axis])));
    pen.lineTo(x, y);
    if (event.shiftKey) pen.stroke();
    place();
  } });
  const place = () => live.style.setProperty('inset', `${100 * y / SIDE}% auto auto ${100 * x / SIDE}%`);
  place();
  return h('.draw', {}, h('.map.drawing', {}, canvas, live), h('div', {}, h('p.quiet', {}, 'Arrows move the pen, Shift and arrows draw.'), h('button.button', { id: 'drawn', type: 'button', onclick: () => canvas.toBlob((blob) => blob && done(blob)) }, 'Use it'),
    h('button.quiet-button', { id: 'clear', type: 'button', onclick: clear }, 'clear')));
}
