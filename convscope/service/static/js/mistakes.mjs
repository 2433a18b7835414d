/** A picture of a data set in; the next one that the network mistakes out, asked for while the server still looks. */

/**
 * @param {import('./api.mjs').Api} api @param {string} img where to start @param {(found: number) => void} looking
 * @returns {Promise<string | null>} its reference; null where there is none
 */
export async function nextMistake(api, img, looking) {
  const [source, at] = img.split(':');
  for (let tries = 0; tries < 200; tries++) {
    const { pictures, complete } = await api.pictures({ source, start: 0, count: 200, mistakes: true });
    const later = pictures.find((p) => Number(p.ref.split(':')[1]) > Number(at));
    if (later) return later.ref;
    if (complete !== false || pictures.length === 200) return pictures[0]?.ref ?? null;
    looking(pictures.length);
  }
  return null;
}
