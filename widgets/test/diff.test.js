// A diff of lines: what stays and what goes is the one text, what stays and what comes the other.
import assert from "node:assert/strict";
import { test } from "node:test";
import { diff } from "../src/diff.js";

const of = (lines, ...kinds) => lines.filter(({ kind }) => kinds.includes(kind)).map(({ text }) => text).join("\n");
const brief = (lines) => lines.map(({ kind, text }) => `${{ same: " ", gone: "-", new: "+" }[kind]}${text}`);

test("equal texts have every line in common", () => {
  assert.deepEqual(brief(diff("a\nb", "a\nb")), [" a", " b"]);
});

test("a line that was changed is gone before it is new", () => {
  assert.deepEqual(brief(diff("a\nb\nc", "a\nx\nc")), [" a", "-b", "+x", " c"]);
});

test("the longest part in common is kept", () => {
  assert.deepEqual(brief(diff("a\nb\nc\nd", "b\nc\nd\na")), ["-a", " b", " c", " d", "+a"]);
});

test("both texts can be read from it, whatever they are", () => {
  const words = ["a", "b", "", "c"];
  for (let i = 0; i < 4 ** 5; i++) {
    const lines = Array.from({ length: 5 }, (_, at) => words[(i >> (2 * at)) & 3]);
    const [before, after] = [lines.slice(0, 2).join("\n"), lines.slice(2).join("\n")];
    const found = diff(before, after);
    assert.equal(of(found, "same", "gone"), before);
    assert.equal(of(found, "same", "new"), after);
  }
});

test("texts of more than 400 lines are compared as wholes", () => {
  const long = "line\n".repeat(500);
  assert.ok(diff(long, long).every(({ kind }) => kind === "same"));
  const found = diff(long, `${long}x`);
  assert.equal(of(found, "gone"), long);
  assert.equal(of(found, "new"), `${long}x`);
  assert.equal(of(found, "same"), "");
});
