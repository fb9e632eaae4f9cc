// The rows that a tree shows: open nodes, with many similar siblings in one row.
import { FAILED, callName } from "./fold.js";

const ALIKE = 12;
/** How many sub-calls of one kind and model stand alone before they share a line. */

/** Which rows are open: the user's choice, else the default. */
export class Expansion {
  constructor() {
    this.chosen = new Map();
  }

  isOpen(row) {
    return this.chosen.get(row.key) ?? byDefault(row);
  }

  set(row, open) {
    this.chosen.set(row.key, open);
  }

  /** Open everything above a node, the group that it is in included. */
  reveal(node) {
    for (let at = node.parent; at; at = at.parent) {
      this.chosen.set(at.kind === "run" && at.parent ? at.parent.id : at.id, true);
    }
    for (let at = node; at?.parent; at = at.parent) {
      if (at.kind === "call") this.chosen.set(groupKey(at.parent, callName(at), at.started.model), true);
    }
  }
}

const groupKey = (parent, name, model) => `${parent.id}/${name}/${model}`;

function byDefault(row) {
  if (row.group) return false;
  const { kind, parent } = row.node;
  return kind === "cell" || kind === "turn" || (kind === "run" && !parent);
}

/** A node's children; a child run's turns are children of the call that started it. */
export function under(node) {
  if (node.kind === "call" && node.child) return [...node.child.children, ...node.children.filter((c) => c !== node.child)];
  return node.children;
}

/**
 * Return the rows of a tree, in order.
 * `keep(node)` says whether a node or something below it is shown at all (null: everything);
 * `until` is the number of the last turn of the root run that is shown (null: all).
 */
export function rowsOf(tree, expansion, { keep = null, until = null } = {}) {
  const rows = [];
  if (!tree?.root) return rows;
  const visit = (row) => {
    rows.push(row);
    row.at = rows.length - 1;
    const below = children(row, keep, until);
    row.expandable = below.length > 0;
    row.open = row.expandable && (keep !== null && !row.group ? expansion.chosen.get(row.key) !== false : expansion.isOpen(row));
    if (!row.open) return;
    for (let i = 0; i < below.length; i++) {
      const child = below[i];
      child.level = row.level + 1;
      child.position = i + 1;
      child.of = below.length;
      child.above = row;
      visit(child);
    }
  };
  visit({ key: tree.root.id, node: tree.root, group: null, level: 1, position: 1, of: 1, above: null });
  return rows;
}

function children(row, keep, until) {
  if (row.group) return row.group.map(single);
  let nodes = under(row.node);
  if (until !== null && row.node.kind === "run" && !row.node.parent) {
    nodes = nodes.filter((node) => node.kind !== "turn" || node.started.number <= until);
  }
  if (keep) nodes = nodes.filter(keep);
  return nodes.length > ALIKE ? grouped(row.node, nodes) : nodes.map(single);
}

const single = (node) => ({ key: node.id, node, group: null });

function grouped(parent, nodes) {
  const groups = new Map();
  for (const node of nodes) {
    const key = node.kind === "call" ? groupKey(parent, callName(node), node.started.model) : null;
    if (key === null) groups.set(node.id, node);
    else if (groups.has(key)) groups.get(key).push(node);
    else groups.set(key, [node]);
  }
  return [...groups].flatMap(([key, group]) => {
    if (!Array.isArray(group)) return [single(group)];
    return group.length > ALIKE ? [{ key, node: group[0], group }] : group.map(single);
  });
}

/** A group's figures and status, in one pass. */
export function sumOf(group) {
  const sum = { running: 0, failed: 0, errors: 0, cost: null, partial: false, tokens: 0, start: Infinity, end: 0, durations: [] };
  for (const node of group) {
    if (node.status === "running") sum.running++;
    if (FAILED.has(node.status)) sum.failed++;
    sum.errors += node.errors;
    sum.tokens += node.total.input + node.total.output;
    if (node.total.cost !== null) sum.cost = (sum.cost ?? 0) + node.total.cost;
    if (node.total.unpriced) sum.partial = true;
    sum.start = Math.min(sum.start, node.start);
    sum.end = Math.max(sum.end, node.end ?? node.start);
    if (node.duration !== null) sum.durations.push(node.duration);
  }
  return sum;
}
