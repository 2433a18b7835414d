/** The camera's view in, one square picture of it out; the camera goes off with the dialogue. */

import { h } from './dom.mjs';

/** @param {HTMLElement} side @param {HTMLDialogElement} box @param {(blob: Blob) => void} done */
export async function camera(side, box, done) {
  if (!navigator.mediaDevices) throw new Error('the browser offers the camera to pages from localhost or https only');
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } }).catch((error) => {
    throw new Error(`no camera: ${error.message}`);
  });
  const video = h('video', { autoplay: true, muted: true, playsinline: true });
  video.srcObject = stream;
  box.addEventListener('close', () => stream.getTracks().forEach((track) => track.stop()));
  side.replaceChildren(h('.draw', {}, video, h('button.button', { id: 'shot', type: 'button', onclick: () => {
    const side = Math.min(video.videoWidth, video.videoHeight), canvas = h('canvas', { width: side, height: side });
    canvas.getContext('2d').drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, side, side);
    canvas.toBlob((/** @type {Blob | null} */ blob) => blob && done(blob));
  } }, 'Take the picture')));
}
