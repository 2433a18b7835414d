// A cell of a layer in; its sum in float64, the terms it is made of and how far float32 may lie from it out.
//
// Tensors are `{shape, data}` as the server sent them: float32, row by row, one picture without a batch axis.
// Every cell is `{sum, bound, terms}`: a float32 value of the same cell, whatever the order of its additions, is
// right if it lies within `bound` of `sum`. rounding.mjs says why.

export { gamma } from './arithmetic/rounding.mjs';
export { convCell, convMap, linearCell, window } from './arithmetic/conv.mjs';
export { batchNormCell } from './arithmetic/norm.mjs';
export { activationCell, derivative } from './arithmetic/activation.mjs';
export { poolCell } from './arithmetic/pool.mjs';
export { addCell } from './arithmetic/add.mjs';
export { softmax } from './arithmetic/softmax.mjs';
export { camCell, channelWeight, placeWeights } from './arithmetic/cam.mjs';
export { heat, resizeCell } from './arithmetic/resize.mjs';
export { inputGradient, scatter, weightGradient } from './arithmetic/gradient.mjs';
