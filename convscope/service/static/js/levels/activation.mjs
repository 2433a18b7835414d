/** One number of an activation: the curve, the point on it, the value that went in and the one that came out. */

import { activationCell, derivative } from '../arithmetic.mjs';
import { svg } from '../dom.mjs';
import { num } from '../format.mjs';
import { facts, hero, panel } from '../parts.mjs';
import { beside, cellAt, follow, moving } from './cell.mjs';

/** @param {HTMLElement} host @param {import('../main.mjs').Context} context */
export async function show(host, context) {
  const { api, node, place } = context;
  const img = place.img;
  const [input, output] = await Promise.all([api.output(img, node.inputs[0]), api.output(img, node.id)]);
  const { cell: at, index, id, name } = cellAt(context);
  const x = input.data[index];
  const cell = activationCell(x, node.settings);
  const slope = derivative(x, node.settings).sum;
  host.append(
    beside(hero({ value: output.data[index], ...cell }, id, name), moving(context, input, 'x', 'before'), '→', moving(context, output, 'y', 'after')),
    panel(context, 'curve', RULES[node.settings.function], curve(node.settings, x, cell.sum),
      facts([['in', num(x)], ['out', num(cell.sum, { wide: true })], ['slope here: what of a gradient passes back', num(slope, { wide: true })]]), follow(context, node.inputs[0], at)));
  context.field(node.shape.length === 3 ? node.id : null, place.y, place.x);
}

const RULES = { relu: 'ReLU: max(x, 0)', gelu: 'GELU: x · Φ(x), Φ the normal distribution', tanh: 'tanh(x)' };

/** @param {number} x @param {number} y */
function curve(settings, x, y) {
  const reach = Math.max(3, Math.abs(x) * 1.25);
  const [low, high] = settings.function === 'tanh' ? [-1.25, 1.25] : [-0.3 * reach, reach];
  const [wide, tall] = [560, settings.function === 'tanh' ? 230 : 320];
  const px = (v) => ((v + reach) / (2 * reach)) * wide;
  const py = (v) => ((high - v) / (high - low)) * tall;
  const points = Array.from({ length: 161 }, (_, n) => {
    const at = ((n - 80) / 80) * reach;
    return `${px(at).toFixed(1)} ${py(activationCell(at, settings).sum).toFixed(1)}`;
  });
  return svg('svg.curve', { viewBox: `-8 -8 ${wide + 16} ${tall + 16}`, role: 'img', 'aria-label': `${settings.function} takes ${num(x)} to ${num(y)}` },
    svg('path.axis', { d: `M0 ${py(0)}H${wide}M${px(0)} 0V${tall}` }),
    svg('path.drop', { d: `M${px(x)} ${py(0)}V${py(y)}H${px(0)}` }),
    svg('path.line', { d: `M${points.join('L')}` }),
    svg('circle', { cx: px(x), cy: py(y), r: 7 }),
    svg('text', { x: px(x), y: py(0) + (y < 0 ? -10 : 22), 'text-anchor': px(x) > wide - 50 ? 'end' : px(x) < 50 ? 'start' : 'middle' }, num(x, { places: 2 })),
    Math.abs(y) > reach / 12 && svg('text', { x: px(0) + (x < 0 ? 8 : -8), y: py(y) + 5, 'text-anchor': x < 0 ? 'start' : 'end' }, num(y, { places: 2 })));
}
