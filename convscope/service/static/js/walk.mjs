/** A walk through one picture in; out of the server one file of it that opens from disk, or, in such a file, its answers. */

import { h } from './dom.mjs';

const held = document.getElementById('walk');

/** The walk that this file holds; null on the server's page. @type {{model: string, place: string, answers: Record<string, {headers: Record<string, string>, body: string}>} | null} */
export const walk = held && JSON.parse(held.textContent ?? '');

/** What the file holds for a question; undefined where nobody asked it on the walk. @param {string} path below /v1/trace @returns {Response | undefined} */
export function recall(path) {
  const [resource, given = ''] = path.split('?');
  const parameters = [...new URLSearchParams(given)].sort(([a], [b]) => a < b ? -1 : 1).map(([k, v]) => `${k}=${v}`).join('&');
  const answer = walk?.answers[(resource === '/models' ? resource : resource.replace(/^\/[^/]+/, '')) + (parameters ? `?${parameters}` : '')];
  return answer && new Response(Uint8Array.from(atob(answer.body), (c) => c.charCodeAt(0)), { headers: answer.headers });
}

/** Save this place and what lies around it. @param {import('./main.mjs').Context} context */
export async function save({ api, graph, node, place, announce }) {
  announce('packing the walk…', true);
  const after = node ? graph.nodes.filter((n) => n.inputs.includes(node.id)).map((n) => n.id) : [];
  const nodes = new Set([node?.id, ...node?.inputs ?? [], ...after, graph.nodes.at(-1)?.id].filter(Boolean));
  const file = await api.exported({
    img: place.img, nodes: [...nodes], down: node?.id, target: place.target, methods: place.method ? [place.method] : undefined, mates: place.mates, edits: place.edits, place: location.hash.slice(1),
  });
  const url = URL.createObjectURL(file), name = `convscope-${graph.name}-${place.img.replace(/\W/g, '-')}.html`;
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  announce(`saved ${name}, ${(file.size / 1e6).toFixed(1)} MB`, true);
}
