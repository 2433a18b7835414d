/** A pointer's strokes in, a picture of a digit out: white on black, or the other way round. */

import { h } from './dom.mjs';

const SIDE = 280;

/** @param {import('./api.mjs').Graph} graph @param {(blob: Blob) => void} done */
export function drawing(graph, done) {
  const canvas = h('canvas.drawing', { width: SIDE, height: SIDE, 'aria-label': 'Draw here', role: 'img' });
  const pen = canvas.getContext('2d');
  const clear = () => { pen.fillStyle = '#000'; pen.fillRect(0, 0, SIDE, SIDE); };
  clear();
  Object.assign(pen, { lineWidth: SIDE / 11, lineCap: 'round', lineJoin: 'round', strokeStyle: '#fff' });
  const at = (e) => { const box = canvas.getBoundingClientRect(); return [(e.clientX - box.left) * SIDE / box.width, (e.clientY - box.top) * SIDE / box.height]; };
  canvas.addEventListener('pointerdown', (e) => { canvas.setPointerCapture(e.pointerId); pen.beginPath(); pen.moveTo(...at(e)); pen.lineTo(...at(e)); pen.stroke(); });
  canvas.addEventListener('pointermove', (e) => { if (e.buttons) { pen.lineTo(...at(e)); pen.stroke(); } });
  return h('.draw', {}, canvas, h('div', {}, h('button.button', { id: 'drawn', type: 'button', onclick: () => canvas.toBlob((blob) => blob && done(blob)) }, 'Use it'),
    h('button.quiet-button', { id: 'clear', type: 'button', onclick: clear }, 'clear')));
}
