/** A picture of a data set in; the next one that the network mistakes out, asked for while the server still looks. */

const PAGE = 200;

/**
 * @param {import('./api.mjs').Api} api @param {string} img where to start @param {(found: number) => void} looking
 * @returns {Promise<string | null>} its reference; null where there is none
 */
export async function nextMistake(api, img, looking) {
  const [source, at] = img.split(':');
  /** @type {string | null} */
  let first = null;
  for (let tries = 0, start = 0; tries < 300; tries++) {
    const { total, pictures, complete } = await api.pictures({ source, start, count: PAGE, mistakes: true });
    first ??= pictures[0]?.ref ?? null;
    const later = pictures.find((p) => Number(p.ref.split(':')[1]) > Number(at));
    if (later) return later.ref;
    if (pictures.length === PAGE) start += PAGE;
    else if (complete !== false) return first; // round again
    else looking(total);
  }
  return null;
}
