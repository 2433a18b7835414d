// Addresses in, places out and back; the levels above each.

import assert from 'node:assert/strict';
import test from 'node:test';

import { above, changed, levelOf, link, parse } from '../../convscope/service/static/js/place.mjs';

test('a link is readable and comes back as the same place', () => {
  const place = { model: 'a b/c', img: 'test:42', layer: 'relu#2', c: 7, y: 5, x: 0, edits: 'conv:weight:3:-0.5,conv:weight:4:1e-7' };
  const hash = link(place);
  assert.match(hash, /^#model=a%20b%2Fc&img=test:42&layer=relu%232&c=7&y=5&x=0&edits=/);
  assert.deepEqual(parse(hash), place);
  assert.equal(link(parse(hash)), hash);
});

test('equal places have equal links, whatever the order', () => {
  assert.equal(link({ x: 1, img: 'a:1', c: 2, y: 3 }), link({ y: 3, c: 2, img: 'a:1', x: 1 }));
});

test('what is no place is left out', () => {
  assert.deepEqual(parse('#c=-1&y=1.5&x=two&what=else&layer='), {});
});

test('undefined removes, zero stays', () => {
  assert.deepEqual(changed({ img: 'a:1', c: 3, x: 4 }, { c: undefined, x: 0 }), { img: 'a:1', x: 0 });
});

test('the level is the deepest that the coordinates allow, unless said', () => {
  assert.equal(levelOf({}), 'graph');
  assert.equal(levelOf({ layer: 'a' }), 'layer');
  assert.equal(levelOf({ layer: 'a', c: 0 }), 'channel');
  assert.equal(levelOf({ layer: 'a', c: 0, y: 0 }), 'channel');
  assert.equal(levelOf({ layer: 'a', c: 0, y: 0, x: 0 }), 'pixel');
  assert.equal(levelOf({ layer: 'a', c: 0, y: 0, x: 0, level: 'backward' }), 'backward');
  assert.equal(levelOf({ level: 'heatmap' }), 'heatmap');
  assert.equal(levelOf({ level: 'pixel' }), 'graph');
});

test('Escape goes up one level at a time, and keeps the picture', () => {
  const ways = (place, flat) => {
    const seen = [];
    for (let at = place; levelOf(at) !== 'graph'; at = above(at, flat)) seen.push(levelOf(at));
    return seen;
  };
  const place = { img: 'a:1', layer: 'b', c: 1, y: 2, x: 3 };
  assert.deepEqual(ways({ ...place, level: 'backward' }, false), ['backward', 'pixel', 'channel', 'layer']);
  assert.deepEqual(ways({ img: 'a:1', layer: 'b', c: 1 }, true), ['channel', 'layer']);
  assert.deepEqual(ways({ level: 'heatmap' }, false), ['heatmap']);
  assert.equal(above(place, false).img, 'a:1');
});
