// A model's Markdown as elements: paragraphs, headings, lists, tables, code. No links, no
// images, no HTML: an address is shown as its letters.
import { h } from "./dom.js";
import { python } from "./highlight.js";
import { visible, withoutAnsi } from "./text.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+-]*)/;
const INLINE = /(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)|\*\*(?=\S)(.+?)\*\*|(?<![\w*])\*(?=\S)([^*]+?)\*(?![\w*])/g;
const LIMIT = 100_000;

/** Return elements for a text. */
export function prose(text) {
  text = visible(withoutAnsi(text));
  if (text.length > LIMIT) return [h("pre", { class: "rlm-pre rlm-wrap" }, text)];
  const lines = text.split("\n");
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    if (fence) at = code(lines, at, fence, blocks);
    else if (!line.trim()) at++;
    else if (/^#{1,6}\s/.test(line)) {
      blocks.push(h("div", { class: "rlm-heading", role: "heading", "aria-level": "4" }, inline(line.replace(/^#+\s+/, ""))));
      at++;
    } else if (/^\s*\|.*\|\s*$/.test(line) && /^\s*\|[\s:|-]+\|\s*$/.test(lines[at + 1] ?? "")) at = table(lines, at, blocks);
    else if (isItem(line)) at = list(lines, at, blocks);
    else at = paragraph(lines, at, blocks);
  }
  return blocks;
}

const isItem = (line) => /^\s*(?:[-*+]|\d+[.)])\s+/.test(line);

function code(lines, at, [, marks, language], blocks) {
  const body = [];
  const close = new RegExp(`^ {0,3}${marks[0]}{${marks.length},}\\s*$`);
  for (at++; at < lines.length && !close.test(lines[at]); at++) body.push(lines[at]);
  const text = body.join("\n");
  blocks.push(h("pre", { class: "rlm-pre rlm-code" }, /^(repl|py|python|python3|)$/i.test(language) ? python(text) : text));
  return at + 1;
}

function paragraph(lines, at, blocks) {
  const body = [];
  while (at < lines.length && lines[at].trim() && !FENCE.test(lines[at]) && !(body.length && isItem(lines[at]))) body.push(lines[at++]);
  blocks.push(h("p", {}, inline(body.join("\n"))));
  return at;
}

function list(lines, at, blocks) {
  const items = [];
  const ordered = /^\s*\d/.test(lines[at]);
  while (at < lines.length && lines[at].trim() && !FENCE.test(lines[at])) {
    if (isItem(lines[at])) items.push(lines[at].replace(/^\s*(?:[-*+]|\d+[.)])\s+/, ""));
    else if (items.length) items[items.length - 1] += `\n${lines[at].trim()}`;
    at++;
  }
  blocks.push(h(ordered ? "ol" : "ul", {}, items.map((item) => h("li", {}, inline(item)))));
  return at;
}

function table(lines, at, blocks) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const head = cells(lines[at]);
  const rows = [];
  for (at += 2; at < lines.length && /^\s*\|.*\|\s*$/.test(lines[at]); at++) rows.push(cells(lines[at]));
  blocks.push(h("div", { class: "rlm-scroll" }, grid(head, rows, inline)));
  return at;
}

/** A table of texts. */
export function grid(head, rows, show = (text) => visible(text)) {
  return h("table", { class: "rlm-table" },
    head && h("thead", {}, h("tr", {}, head.map((cell) => h("th", {}, show(cell))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, show(cell)))))));
}

function inline(text) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(last, match.index));
    last = match.index + match[0].length;
    if (match[2] !== undefined) nodes.push(h("code", {}, match[2]));
    else if (match[3] !== undefined) nodes.push(h("strong", {}, inline(match[3])));
    else nodes.push(h("em", {}, match[4]));
  }
  nodes.push(text.slice(last));
  return nodes;
}
