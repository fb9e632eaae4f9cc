// Hostile text: what hides or moves letters is spelled out or gone, what colours them is understood.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ansiRuns, oneLine, visible, withoutAnsi } from "../src/text.js";

test("plain text stays as it is", () => {
  for (const text of ["", "a\tb\nc", "Grüße, 世界 🐋", "<b>&amp;</b>"]) assert.equal(visible(text), text);
});

test("what reorders or hides letters is spelled out", () => {
  for (const [hidden, shown] of [["\u202e", "\\u202e"], ["\u2066", "\\u2066"], ["\u200b", "\\u200b"], ["\ufeff", "\\ufeff"], ["\u{e0041}", "\\u{e0041}"], ["\ud800", "\\ud800"]]) {
    assert.equal(visible(`a${hidden}b`), `a${shown}b`);
  }
});

test("controls are gone, and every kind of line end is one", () => {
  assert.equal(visible("a\x00\x07\x7fb"), "ab");
  assert.equal(visible("a\r\nb\u2028c\x0cd\x85e"), "a\nb\nc\nd\ne");
});

test("a line that a carriage return overwrote shows its last state", () => {
  assert.equal(visible("10%\r50%\r100%\ndone"), "100%\ndone");
  assert.equal(visible("done\r"), "done");
});

test("terminal sequences are taken out whole", () => {
  assert.equal(withoutAnsi("\x1b[1;31mred\x1b[0m"), "red");
  assert.equal(withoutAnsi("\x1b]8;;http://evil\x07link\x1b]8;;\x07"), "link");
  assert.equal(withoutAnsi("\x1b]0;title\x1b\\text"), "text");
  assert.equal(withoutAnsi("\x9b31mred"), "red");
});

test("one line has no line ends and is cut with an ellipsis", () => {
  assert.equal(oneLine("  a\n\n b\tc "), "a b c");
  assert.equal(oneLine("x".repeat(200), 10), `${"x".repeat(9)}…`);
  assert.equal(oneLine(null), "");
});

test("colours hold until they are taken back", () => {
  assert.deepEqual(ansiRuns("a\x1b[1;31mb\x1b[22mc\x1b[39md"), [
    { text: "a", classes: "" },
    { text: "b", classes: "ansi-bold ansi-1" },
    { text: "c", classes: "ansi-1" },
    { text: "d", classes: "" },
  ]);
});

test("colours of 256 and of 16 million do not count as other codes", () => {
  assert.deepEqual(ansiRuns("\x1b[38;5;1ma\x1b[38;2;1;3;4mb\x1b[48;5;4mc"), [
    { text: "a", classes: "ansi-1" },
    { text: "b", classes: "" },
    { text: "c", classes: "" },
  ]);
});

test("a megabyte of half a sequence takes no time to speak of", () => {
  assert.equal(withoutAnsi("\x1b[".repeat(500_000)), "");
  assert.equal(oneLine("\x1b]".repeat(500_000)).length, 0);
});
