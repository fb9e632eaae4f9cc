// Lanes: what runs at once never shares one, and each takes the first that is free.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lanesOf } from "../src/lanes.js";

const node = (start, end, ...children) => ({ kind: "call", start, end, children });
const lanes = (root) => lanesOf({ root });

/** A source of numbers below 1 that are the same in every run of the tests. */
function chance(seed) {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

test("a tree that has not begun has no lanes", () => {
  assert.deepEqual(lanesOf(null), []);
  assert.deepEqual(lanesOf({ root: null }), []);
});

test("calls one after another share a lane", () => {
  const calls = [node(1, 2), node(2, 3), node(3, 4)];
  const root = node(0, 5, ...calls);
  assert.deepEqual(lanes(root), [[root], calls]);
});

test("a call takes the first lane that is free", () => {
  const [a, b, c, d] = [node(1, 9), node(2, 4), node(3, 5), node(4, 6)];
  assert.deepEqual(lanes(node(0, 10, a, b, c, d)).slice(1), [[a], [b, d], [c]]);
});

test("a call that has not ended keeps its lane", () => {
  const [a, b] = [node(1, null), node(100, 101)];
  assert.deepEqual(lanes(node(0, null, a, b)).slice(1), [[a], [b]]);
});

test("what has something below it goes below all that still runs", () => {
  const leaf = node(4, 5);
  const [a, b, deep, c] = [node(1, 3), node(2, 9), node(4, 6, leaf), node(7, 8)];
  assert.deepEqual(lanes(node(0, 10, a, b, deep, c)).slice(1), [[a, c], [b], [deep], [leaf]]);
});

test("a child run's turns stand where the run would; notes stand nowhere", () => {
  const turn = node(2, 3);
  const note = { ...node(2, 2), kind: "note" };
  const call = node(1, 4, { ...node(1, 4, turn), kind: "run" }, note);
  assert.deepEqual(lanes(node(0, 5, call)).slice(1), [[call], [turn]]);
});

test("ten thousand calls at once have as many lanes, in their order", () => {
  const calls = Array.from({ length: 10_000 }, (_, i) => node(i, 20_000 + i));
  const found = lanes(node(0, 40_000, ...calls));
  assert.equal(found.length, 10_001);
  found.slice(1).forEach(([first, ...others], i) => {
    assert.equal(first, calls[i]);
    assert.equal(others.length, 0);
  });
});

test("in any tree every node has one place, and no two in a lane overlap", () => {
  const random = chance(7);
  const grow = (start, end, depth) => {
    const children = [];
    let at = start;
    while (depth < 4 && children.length < 8 && random() > 0.2) {
      at += (random() * (end - start)) / 8;
      const until = at + random() * (end - at);
      children.push(grow(at, until, depth + 1));
    }
    return node(start, end, ...children);
  };
  for (let round = 0; round < 50; round++) {
    const root = grow(0, 1000, 0);
    const all = (each) => [each, ...each.children.flatMap(all)];
    const found = lanes(root);
    assert.deepEqual(new Set(found.flat()), new Set(all(root)));
    assert.equal(found.flat().length, all(root).length);
    for (const lane of found) lane.slice(1).forEach((each, i) => assert.ok(each.start >= lane[i].end));
  }
});
