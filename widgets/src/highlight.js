// Python and JSON in colour: a simple lexer, no parser.
import { h } from "./dom.js";
import { visible } from "./text.js";

const KEYWORDS = new Set("and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return True try while with yield".split(" "));
const BUILTINS = new Set("abs all any bool bytes dict enumerate Exception filter float int isinstance len list map max min open print range repr reversed round set sorted str sum super tuple type zip".split(" "));
const HELPERS = new Set("llm_query llm_query_batched rlm_query rlm_query_batched allm_query allm_query_batched arlm_query arlm_query_batched SHOW_VARS FINAL FINAL_VAR answer context history".split(" "));

const TOKEN = new RegExp(
  [
    /(?<comment>#[^\n]*)/,
    /(?<string>\b[rRbBuUfF]{0,2}(?:"""(?:\\[^]|(?!""")[^])*(?:"""|$)|'''(?:\\[^]|(?!''')[^])*(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)|"""(?:\\[^]|(?!""")[^])*(?:"""|$)|'''(?:\\[^]|(?!''')[^])*(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)/,
    /(?<number>\b(?:0[xXoObB][\da-fA-F_]+|\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?j?)\b)/,
    /(?<decorator>@[\w.]+)/,
    /(?<word>[A-Za-z_]\w*)/,
  ]
    .map((part) => part.source)
    .join("|"),
  "g",
);

const LIMIT = 60_000;

/** Return nodes for a piece of Python; very long code stays plain. */
export function python(code) {
  code = visible(code);
  if (code.length > LIMIT) return [code];
  const nodes = [];
  let last = 0;
  let before = "";
  for (const match of code.matchAll(TOKEN)) {
    if (match.index > last) nodes.push(code.slice(last, match.index));
    last = match.index + match[0].length;
    const kind = kindOf(match.groups, before);
    nodes.push(kind ? h("span", { class: `rlm-code-${kind}` }, match[0]) : match[0]);
    if (match.groups.word) before = match[0];
  }
  nodes.push(code.slice(last));
  return nodes;
}

function kindOf(groups, before) {
  const { word } = groups;
  if (!word) return Object.keys(groups).find((name) => groups[name] !== undefined);
  if (KEYWORDS.has(word)) return "keyword";
  if (before === "def" || before === "class") return "name";
  if (HELPERS.has(word)) return "helper";
  return BUILTINS.has(word) ? "builtin" : "";
}
