/** A node of the graph in; what its layer does, in the words of the field, out. */

import { pair } from './arithmetic/rounding.mjs';
import { num } from './format.mjs';

const by = (v) => pair(v).join('×');
const one = (v) => pair(v)[0] === pair(v)[1] ? pair(v)[0] : by(v);
const differs = (v, usual) => v !== undefined && pair(v).some((n) => n !== usual);

/** One short line: "convolution 3×3, stride 2". @param {import('./api.mjs').GraphNode} node */
export function what({ kind, settings: s, type, tensors }) {
  const more = [differs(s.stride, 1) && `stride ${one(s.stride)}`, differs(s.padding, 0) && `padding ${one(s.padding)}`, differs(s.dilation, 1) && `dilation ${one(s.dilation)}`, s.groups > 1 && `${s.groups} groups`].filter(Boolean).join(', ');
  switch (kind) {
    case 'input': return 'the picture, normalised';
    case 'conv': return `convolution ${by(s.kernel_size ?? tensors.weight?.slice(2))}${more ? `, ${more}` : ''}`;
    case 'linear': return 'linear';
    case 'batchnorm': return 'batch normalisation';
    case 'activation': return { relu: 'ReLU', gelu: 'GELU', tanh: 'tanh' }[s.function] ?? s.function;
    case 'maxpool': return `largest of ${by(s.kernel_size)}`;
    case 'avgpool': return `mean of ${by(s.kernel_size)}`;
    case 'globalmax': return 'largest of all places';
    case 'globalavg': return 'mean of all places';
    case 'add': return 'branch + shortcut';
    case 'flatten': return 'one long vector';
    case 'dropout': return `dropout ${num(s.p, { places: 1 })}, at rest`;
    default: return `${type}: not known here`;
  }
}

/** A sentence on how one of its numbers comes about. @param {import('./api.mjs').GraphNode} node */
export function how({ kind, settings, tensors, type }) {
  const n = tensors.weight ? tensors.weight.slice(1).reduce((a, b) => a * b, 1) : 0;
  switch (kind) {
    case 'input': return 'Each byte of the picture over 255, less the mean, over the deviation of its colour in the training set.';
    case 'conv': return `Each number is a patch of the layer before times a kernel: ${n} products, summed${tensors.bias ? ', and a bias' : ''}.`;
    case 'linear': return `Each number is all ${n} numbers before times a row of weights, summed${tensors.bias ? ', and a bias' : ''}.`;
    case 'batchnorm': return 'Each channel, less its mean, over its deviation, times γ, plus β.';
    case 'activation': return settings.function === 'relu' ? 'What is below zero becomes zero; the rest stays.' : 'Each number, bent by one smooth curve.';
    case 'maxpool': case 'globalmax': return 'Of each window the largest number stays.';
    case 'avgpool': case 'globalavg': return 'Of each window the mean stays.';
    case 'add': return 'What the branch computed plus what the shortcut carried past it.';
    case 'flatten': return 'The same numbers, in one row.';
    case 'dropout': return 'In training it drops numbers at random; in use, as here, it passes all of them on.';
    default: return `This page does not know how a ${type} computes: it shows what came out.`;
  }
}
