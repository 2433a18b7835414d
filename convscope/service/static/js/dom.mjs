/** Tag, attributes and children in, a DOM element out; text is always text, never markup. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * `h('td.num', {id: 'a', onclick: f, 'data-value': 3}, 'text')`. Attributes that are null or false are left out.
 * @param {string} tag with classes after dots; `svg:path` makes an SVG element
 * @param {Record<string, any>} [attributes] `on…` become listeners, `style` is an object of CSS properties
 * @param {...any} children nodes, texts, lists of such; null and false are left out
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = name.startsWith('svg:')
    ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name || 'div');
  if (classes.length) element.setAttribute('class', classes.join(' '));
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'style') for (const [p, v] of Object.entries(value)) element.style.setProperty(p, String(v));
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** @param {string} tag @param {Record<string, any>} [attributes] @returns {any} */
export const svg = (tag, attributes = {}, ...children) => h(`svg:${tag}`, attributes, ...children);

/** @param {string} id @returns {any} the element, which index.html or a level holds */
export const byId = (id) => document.getElementById(id);

/** Put new children in, with the focus on what has the same id as before. @param {Element} box */
export function swapChildren(box, ...children) {
  const id = box.contains(document.activeElement) ? document.activeElement?.id : '';
  box.replaceChildren(...children.flat().filter((child) => child !== null && child !== false));
  if (id) document.getElementById(id)?.focus();
}
