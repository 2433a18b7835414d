/** The bottom of the way down: one number of the normalised picture, from the byte of one pixel. */

import { gamma } from '../arithmetic.mjs';
import { h } from '../dom.mjs';
import { num } from '../format.mjs';
import { hero, panel } from '../parts.mjs';
import { locator, siblings } from './locator.mjs';

/** The picture's bytes, RGBA. @param {string} url @returns {Promise<ImageData>} */
async function bytes(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = h('canvas', { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, node, place, graph } = context;
  const img = place.img, [c, y, x] = /** @type {number[]} */ ([place.c, place.y, place.x]);
  const [output, picture] = await Promise.all([api.output(img, node.id), api.picture(img).then(bytes)]);
  const [channels, height, width] = output.shape;
  if (c >= channels || y >= height || x >= width) throw new Error(`the picture is ${output.shape.join('×')}: it has no place ${c}, ${y}, ${x}`);
  const value = output.data[(c * height + y) * width + x], byte = picture.data[4 * (y * width + x) + c];
  const mean = graph.mean[c], std = graph.std[c] || 1, sum = (byte / 255 - mean) / std;
  const bound = gamma(6) * (byte / 255 + Math.abs(mean)) / std; // quotient, difference, quotient, and mean and std as float32
  let places = 4; // of mean and deviation: as many as give the printed result
  while (places < 9 && num((byte / 255 - Number(mean.toFixed(places))) / Number(std.toFixed(places))) !== num(sum)) places++;
  const colour = channels === 3 ? ['red', 'green', 'blue'][c] : 'grey';
  host.append(
    h('.top', {}, h('div', {}, hero({ value, sum, bound }, `${node.id}:${c},${y},${x}`, h('span', {}, 'the picture, ', siblings(context, channels))),
      h('p.sum.formula', {}, '(', h('b', {}, String(byte)), h('span.op', {}, ' ∕ 255 − '), h('b', {}, num(mean, { places })), ')', h('span.op', {}, ' ∕ '), h('b', {}, num(std, { places })), h('span.op', {}, ' = '), h('b', {}, num(sum, { wide: true })))),
    locator(context, output)),
    panel(context, 'byte', 'Where it begins', h('p.note', {}, `The pixel at row ${y}, column ${x} holds the byte ${byte} of ${colour}. Over 255 it lies between 0 and 1; mean and deviation are those of ${colour} in the training pictures. There is no level below this one.`)));
  context.field(node.id, y, x);
}
