/** A linear layer in; where each of its features lay before it was flattened, its name there and a way down, out. */

import { titleOf } from './cell.mjs';

/** @param {import('../main.mjs').Context} context */
export function origin({ graph, node, go }) {
  const before = (n) => graph.nodes.find(({ id }) => id === n.inputs[0]) ?? n;
  let source = before(node);
  while (['flatten', 'dropout'].includes(source.kind)) source = before(source);
  const [, height = 1, width = 1] = source.shape, flat = source.shape.length === 1;
  const cellOf = (n) => flat ? [n] : [Math.floor(n / (height * width)), Math.floor(n / width) % height, n % width];
  return {
    name: (n) => flat || height * width > 1 ? titleOf(cellOf(n)) : `channel\xa0${n}`,
    open: (n) => { const [c, y, x] = cellOf(n); go({ layer: source.id, c, y, x, level: undefined, sort: undefined }); },
  };
}
