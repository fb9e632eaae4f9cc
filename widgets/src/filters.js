// Finds the nodes that a search and its filters keep: matches, and everything above them.
import { FAILED } from "./fold.js";

export const NOTHING = { text: "", kind: "", model: "", errors: false, slow: false, costly: false };

export const isActive = (query) => Object.keys(NOTHING).some((name) => query[name] !== NOTHING[name]);

export const KINDS = {
  turn: "Turns",
  cell: "Cells",
  llm: "Plain calls",
  rlm: "Child runs",
  tool: "Tools",
  note: "Notes",
};

const kindOf = (node) => (node.kind === "call" ? node.started.kind : node.kind);

/** What a single step cost; a run's own cost is that of many. */
export const ownCost = (node) => (node.kind === "run" ? null : node.own.cost);

/** A node's text, as far as the page has it. */
export function textsOf(node) {
  const { started, finished } = node;
  const texts = [started.code, started.root_prompt, started.prompt, started.text, finished?.answer, finished?.response, finished?.error, finished?.shown];
  texts.push(...node.replies.flatMap((reply) => [reply.text, reply.reasoning]), finished?.reasoning);
  for (const { output } of node.outputs) texts.push(output.text, output.data?.["text/plain"], output.ename, output.evalue);
  if (node.kind === "call") texts.push(started.model);
  return texts.filter((text) => text !== null && text !== undefined).map((text) => (typeof text === "string" ? text : JSON.stringify(text)));
}

/**
 * Return what a query finds: `{matches, keep}`, both sets of nodes in the tree's order.
 * `elsewhere` holds ids that the kernel found in text that the page does not have.
 */
export function find(tree, query, elsewhere = new Set()) {
  const matches = new Set();
  const keep = new Set();
  if (!tree?.root) return { matches, keep };
  const test = tester(tree, query, elsewhere);
  for (const node of tree.nodes.values()) {
    if (!test(node)) continue;
    matches.add(node);
    for (let at = node; at && !keep.has(at); at = at.parent) keep.add(at);
  }
  return { matches, keep };
}

function tester(tree, query, elsewhere) {
  const tests = [];
  const text = query.text.trim().toLowerCase();
  if (query.kind) tests.push((node) => kindOf(node) === query.kind);
  if (query.model) tests.push((node) => (node.kind === "turn" ? node.replies.some((r) => r.model === query.model) : node.kind === "call" && node.started.model === query.model));
  if (query.errors) tests.push((node) => FAILED.has(node.status));
  if (query.slow) tests.push(atLeast(tree, (node) => (node.kind === "run" ? null : (node.duration ?? null))));
  if (query.costly) tests.push(atLeast(tree, ownCost));
  if (text) tests.push((node) => elsewhere.has(node.id) || textsOf(node).some((each) => each.toLowerCase().includes(text)));
  return (node) => tests.every((test) => test(node));
}

/** Keep the top tenth of each kind by a figure. */
function atLeast(tree, figure) {
  const values = new Map();
  for (const node of tree.nodes.values()) {
    const value = figure(node);
    if (value === null || value === 0) continue;
    const kind = kindOf(node);
    if (!values.has(kind)) values.set(kind, []);
    values.get(kind).push(value);
  }
  const bars = new Map();
  for (const [kind, list] of values) {
    list.sort((a, b) => b - a);
    bars.set(kind, list[Math.max(0, Math.ceil(list.length / 10) - 1)]);
  }
  return (node) => {
    const value = figure(node);
    return value !== null && value > 0 && value >= bars.get(kindOf(node));
  };
}
