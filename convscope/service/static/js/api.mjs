/** Questions in, the server's answers out: JSON and raw float32 arrays, remembered, abortable, with a key if it asks. */

import { recall, walk } from './walk.mjs';

/** @typedef {{shape: number[], data: Float32Array}} Tensor */
/**
 * @typedef {{id: string, layer: string, call: number, type: string, kind: string, inputs: string[], shape: number[],
 *   parameters: number, multiply_adds: number, group: string, settings: Record<string, any>,
 *   tensors: Record<string, number[]>, known: boolean}} GraphNode
 * @typedef {{name: string, sha256: string, model: string, classes: string[], input_shape: number[], mean: number[],
 *   std: number[], parameters: number, multiply_adds: number, cam_layer: string,
 *   sources: {name: string, count: number | null, labelled: boolean | null}[],
 *   methods: {name: string, needs_layer: boolean, summary: string}[], nodes: GraphNode[]}} Graph
 * @typedef {{ref: string, label: string | null, predicted: string, probability: number}} Picture
 */

const LIMIT = 64 * 2 ** 20; // bytes remembered

/** @type {Map<string, {answer: Promise<any>, size: number}>} */
const memory = new Map();
let held = 0;

/** Something wrong that one is told of. */
export class ServerError extends Error { silent = false; }

/** No answer at all. @returns {never} */
export function silence() {
  throw Object.assign(new ServerError('the server does not answer; start `convscope serve` again, then go on'), { silent: true });
}

/** Asks the reader for the key; main.mjs puts its dialogue here. @type {{ask: () => Promise<string | null>}} */
export const key = { ask: async () => null };
/** @type {Promise<string | null> | null} */
let asking = null;

/**
 * @param {string} path below /v1/trace @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
async function request(path, options = {}) {
  if (walk) {
    const answer = recall(path);
    if (!answer) throw new ServerError('this file holds one walk; what you ask now needs the server (convscope serve)');
    return answer;
  }
  const stored = sessionStorage.getItem('convscope-key');
  const headers = new Headers(options.headers);
  if (stored) headers.set('X-API-Key', stored);
  const response = await fetch(`/v1/trace${path}`, { ...options, headers }).catch(silence);
  if (response.ok) return response;
  if (response.status === 401) {
    asking ??= key.ask().finally(() => { asking = null; });
    const given = await asking;
    if (given && given !== stored) {
      sessionStorage.setItem('convscope-key', given);
      return request(path, options);
    }
  }
  const problem = (await response.json().catch(() => ({}))).error ?? {};
  throw new ServerError(problem.message ?? `the server answered ${response.status}`);
}

/** @param {Response} response @returns {Promise<Tensor>} */
async function tensorOf(response) {
  const shape = (response.headers.get('X-Shape') ?? '').split(',').filter(Boolean).map(Number);
  return { shape, data: new Float32Array(await response.arrayBuffer()) };
}

/**
 * @template T @param {string} path @param {(response: Response) => Promise<T>} read @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
function remembered(path, read, signal) {
  let entry = memory.get(path);
  if (entry) {
    memory.delete(path); // put last: the oldest goes first
  } else {
    const fresh = { size: 0, answer: /** @type {Promise<any>} */ (request(path).then(read)) };
    fresh.answer.then((value) => {
      if (memory.get(path) !== fresh) return;
      fresh.size = value?.data?.byteLength ?? 2000;
      held += fresh.size;
      for (const [old, { size }] of memory) {
        if (held <= LIMIT || old === path) break;
        memory.delete(old);
        held -= size;
      }
    }, () => memory.delete(path));
    entry = fresh;
  }
  memory.set(path, entry);
  // an aborted reader goes away, the answer stays for the next one
  return signal ? Promise.race([entry.answer, new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  })]) : entry.answer;
}

const json = (response) => response.json();

/** @param {Record<string, any>} values empty ones are left out */
function query(values) {
  const given = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== '' && v !== false);
  return given.length ? `?${new URLSearchParams(given.map(([k, v]) => [k, String(v)]))}` : '';
}

/** @param {Tensor} tensor @param {string} node @param {string} name @param {string} edits @returns {Tensor} a copy where one is edited */
function edited(tensor, node, name, edits) {
  const mine = edits.split(',').map((edit) => edit.split(':')).filter((edit) => edit[0] === node && edit[1] === name);
  if (!mine.length) return tensor;
  const data = tensor.data.slice();
  for (const [, , index, value] of mine) data[Number(index)] = Number(value);
  return { shape: tensor.shape, data };
}

let weights = ''; // of all models, as last heard
/** @type {any} */
let last = null;

/**
 * What is served: as last heard, and asked again meanwhile. Where a model has other weights by now, what the old ones gave is
 * forgotten and the place is drawn anew.
 * @returns {Promise<{models: {name: string, sha256: string, model: string, parameters: number}[]}>}
 */
export async function models() {
  const asked = request('/models').then(json).then((found) => {
    const now = found.models.map((model) => model.sha256).join(), old = weights;
    if (!now) throw new ServerError('no model is ready yet; reload in a moment');
    [weights, last] = [now, found];
    if (now !== old) {
      memory.clear();
      held = 0;
      if (old) dispatchEvent(new Event('popstate'));
    }
    return found;
  });
  if (!last) return asked;
  asked.catch(() => {}); // the next click asks again
  return last;
}

/**
 * The questions one can ask about one model. `edits` (`node:name:index:value,…`) go along wherever the server takes them.
 * @param {string} model @param {string} [edits] @param {AbortSignal} [signal] ends the waiting, not the answer
 */
export function api(model, edits = '', signal = undefined) {
  const base = `/${encodeURIComponent(model)}`;
  const get = (path, values = {}) => remembered(`${base}${path}${query(values)}`, json, signal);
  const raw = (path, values) => remembered(`${base}${path}${query(values)}`, tensorOf, signal);
  const url = (response) => response.blob().then((blob) => URL.createObjectURL(blob));
  return {
    /** @returns {Promise<Graph>} */
    graph: () => get(''),
    /** @param {{source: string, start?: number, count?: number, mistakes?: boolean}} values @returns {Promise<{total: number, pictures: Picture[], complete?: boolean}>} */
    pictures: (values) => values.mistakes // found little by little: never remembered
      ? request(`${base}/pictures${query(values)}`).then(json) : get('/pictures', values),
    /** An address for an <img>. @param {string} img @returns {Promise<string>} */
    picture: (img) => remembered(`${base}/picture${query({ img })}`, url, signal),
    /** @param {Blob} file @returns {Promise<{ref: string, label: null}>} */
    upload: (file) => {
      const body = new FormData();
      body.append('image', file, 'picture');
      return request(`${base}/pictures`, { method: 'POST', body }).then(json);
    },
    /** @param {string} img @returns {Promise<{logits: number[], probabilities: number[], label: string, index: number, true: string | null}>} */
    run: (img) => get('/run', { img, edits }),
    /** @param {string} img @param {string} node @param {{mode?: string, mates?: string}} [options] @returns {Promise<Tensor>} */
    output: (img, node, options = {}) => raw('/output', { img, node, ...options, edits }),
    /** A parameter or buffer, with the edits made here. @param {string} node @param {string} name @returns {Promise<Tensor>} */
    tensor: async (node, name) => edited(await raw('/tensor', { node, name }), node, name, edits),
    /** @param {string} img @param {string} node @param {string} [mates] @returns {Promise<any>} */
    statistics: (img, node, mates) => get('/statistics', { img, node, mates, edits }),
    /** @param {string} img @param {string} node @param {number} target @param {string} [of] @returns {Promise<Tensor>} */
    gradient: (img, node, target, of) => raw('/gradient', { img, node, target, of, edits }),
    /** @param {string} node @returns {Promise<{dead: number[], pictures: number}>} */
    dead: (node) => get('/dead', { node }),
    /** @param {{img: string, method: string, layer?: string, target?: number}} values @returns {Promise<any>} */
    heatmap: (values) => get('/heatmap', { ...values, edits }),
    /** @param {{img: string, method: string, layer?: string, target?: number}} values @returns {Promise<string>} an address for an <img> */
    overlay: (values) => remembered(`${base}/heatmap.png${query({ ...values, edits })}`, url, signal),
    /** @param {string} node @param {number} y @param {number} x @returns {Promise<{top: number, left: number, bottom: number, right: number}>} */
    receptive: (node, y, x) => get('/receptive', { node, y, x }),
    /** @param {Record<string, any>} values @returns {Promise<Blob>} */
    exported: (values) => request(`${base}/export`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(values) }).then((r) => r.blob()),
  };
}

/** @typedef {ReturnType<typeof api>} Api */
