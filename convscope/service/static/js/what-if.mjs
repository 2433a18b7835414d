/** A convolution's cell in; the same cell under another stride, padding or dilation out: no longer the model's own. */

import { convCell, window } from './arithmetic.mjs';
import { h } from './dom.mjs';
import { num } from './format.mjs';

/**
 * @param {{input: import('./api.mjs').Tensor, weight: import('./api.mjs').Tensor, bias: any, settings: any,
 *   cell: [number, number, number], value: number, announce: (text: string) => void}} options
 */
export function whatIf({ input, weight, bias, settings, cell: [o, y, x], value, announce }) {
  const own = window(settings, weight.shape);
  const now = { stride: own.stride[0], padding: own.padding[0], dilation: own.dilation[0] };
  const first = { ...now }, least = { stride: 1, padding: 0, dilation: 1 };
  const result = h('div', {});
  const outputs = {};
  const draw = () => {
    const size = [0, 1].map((axis) => Math.floor((input.shape[1 + axis] + 2 * now.padding - now.dilation * (own.kernel[axis] - 1) - 1) / now.stride) + 1);
    const same = Object.keys(first).every((k) => now[k] === first[k]);
    for (const [k, output] of Object.entries(outputs)) output.textContent = String(now[k]);
    if (same) result.replaceChildren(h('p.note', {}, 'As the model has it. Step one of them to see what this cell would be.'));
    else if (Math.min(...size) < 1) result.replaceChildren(h('p.problem', {}, 'No output would be left: the kernel reaches further than picture and padding.'));
    else {
      const inside = y < size[0] && x < size[1];
      const { sum } = inside ? convCell(input, weight, bias, { ...settings, stride: [now.stride, now.stride], padding: [now.padding, now.padding], dilation: [now.dilation, now.dilation] }, [o, y, x]) : { sum: NaN };
      const [top, left] = [y, x].map((at) => at * now.stride - now.padding);
      result.replaceChildren(h('.if', {}, h('p', {}, h('b', {}, 'What if: '), 'computed here, no longer the model’s own.'),
        inside ? h('p.number', {}, num(sum)) : null,
        h('p.quiet', {}, inside ? `instead of ${num(value)}; the patch starts at row ${top}, column ${left} and the map is ${size[0]}×${size[1]}.`.replace(/-/g, '−') : `The map would be ${size[0]}×${size[1]}: it has no row ${y}, column ${x}.`),
        h('button.button', { id: 'if-reset', type: 'button', onclick: () => { Object.assign(now, first); draw(); element.querySelector('button').focus(); } }, 'as the model has it')));
      announce(inside ? `what if: ${num(sum)}, not the model's` : 'no such place');
    }
  };
  const stepper = (name) => {
    const step = (by) => { now[name] = Math.max(least[name], Math.min(8, now[name] + by)); draw(); };
    outputs[name] = h('output', { 'aria-label': name });
    return h('.stepper', { role: 'group', 'aria-label': name }, h('span', {}, name),
      h('button.quiet-button', { id: `${name}-less`, type: 'button', 'aria-label': `less ${name}`, onclick: () => step(-1) }, '−'), outputs[name],
      h('button.quiet-button', { id: `${name}-more`, type: 'button', 'aria-label': `more ${name}`, onclick: () => step(1) }, '+'));
  };
  const element = h('.what-if', {}, h('.steppers', {}, ['stride', 'padding', 'dilation'].map((name) => stepper(name))), result);
  draw();
  return element;
}
