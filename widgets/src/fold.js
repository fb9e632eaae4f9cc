// Folds events into a tree of nodes while the run goes on.
// A node keeps the numbers of its events, so that the page can request what was cut.

const SPENT = () => ({ input: 0, output: 0, cost: null, calls: 0, unpriced: 0 });

/** What failed, by a node's status. */
export const FAILED = new Set(["error", "timeout", "died", "limit", "interrupted"]);

export class Tree {
  constructor() {
    this.nodes = new Map();
    this.root = null;
    this.errors = 0;
    this.models = new Map();
    this.counts = { turn: 0, cell: 0, call: 0, run: 0, note: 0 };
    this.lastTime = 0;
    this.firstTime = Infinity;
    this.longest = {};
    this.newest = null;
    this.events = 0;
  }

  get finished() {
    return this.root?.status !== "running" && this.root !== null;
  }

  add(event, number) {
    this.events++;
    this.lastTime = Math.max(this.lastTime, event.time);
    this.firstTime = Math.min(this.firstTime, event.time);
    this[event.type]?.(event, number);
  }

  /** Put back the fields that were cut from an event when it was sent. */
  restore(event, number) {
    const node = this.nodes.get(event.id) ?? this.nodes.get(event.parent_id);
    if (!node) return;
    for (const slot of ["started", "finished"]) if (node[slot]?.n === number) node[slot] = { ...event, n: number };
    node.replies = node.replies.map((reply) => (reply.n === number ? { ...event, n: number } : reply));
    node.outputs = node.outputs.map((output) => (output.n === number ? { ...event, n: number } : output));
  }

  run_started(event, n) {
    const above = this.nodes.get(event.parent_id);
    if (!above && this.root) return;
    const node = this.#node("run", event, n, above ?? null);
    if (!node) return;
    if (above) above.child = node;
    else this.root = node;
    this.#model(event.model);
  }

  turn_started(event, n) {
    const above = this.nodes.get(event.parent_id);
    if (above) this.#node("turn", event, n, above);
  }

  cell_started(event, n) {
    const above = this.nodes.get(event.parent_id);
    if (above) this.#node("cell", event, n, above);
  }

  sub_call_started(event, n) {
    const above = this.nodes.get(event.parent_id);
    if (!above) return;
    this.#node("call", event, n, above);
    if (event.kind !== "tool") this.#model(event.model);
  }

  note(event, n) {
    const above = this.nodes.get(event.parent_id) ?? this.root;
    if (!above || event.kind === "log") return; // what another writer's log held besides: for machines
    if (event.kind === "context") {
      above.remarks.push(event.text);
      return;
    }
    const node = this.#node("note", event, n, above);
    if (node) this.#end(node, event, n, event.kind === "limit" || event.kind === "restart" ? "warning" : "ok", 0);
  }

  model_reply(event, n) {
    const turn = this.nodes.get(event.id);
    if (!turn) return;
    turn.replies.push({ ...event, n });
    this.#spend(turn, event.usage, event.model);
    this.newest = turn;
  }

  cell_output(event, n) {
    const cell = this.nodes.get(event.parent_id);
    if (!cell) return;
    cell.outputs.push({ ...event, n });
    this.newest = cell;
  }

  run_finished(event, n) {
    const node = this.nodes.get(event.id);
    if (!node) return;
    this.#end(node, event, n, event.status === "answered" ? "ok" : event.status, event.duration);
    if (node === this.root) for (const each of this.nodes.values()) if (each.status === "running") each.status = "unfinished";
  }

  turn_finished(event, n) {
    const node = this.nodes.get(event.id);
    if (node) this.#end(node, event, n, "ok", event.duration);
  }

  cell_finished(event, n) {
    const node = this.nodes.get(event.id);
    if (node) this.#end(node, event, n, event.status, event.duration);
  }

  sub_call_finished(event, n) {
    const node = this.nodes.get(event.id);
    if (!node) return;
    this.#end(node, event, n, event.error ? "error" : "ok", event.duration);
    const failedUnpaid = event.error && !event.usage?.input_tokens;
    if (node.started.kind === "llm" && !failedUnpaid) this.#spend(node, event.usage, node.started.model);
  }

  #node(kind, event, n, parent) {
    if (this.nodes.has(event.id)) return null;
    const node = {
      id: event.id,
      kind,
      parent,
      depth: parent ? parent.depth + 1 : 0,
      index: this.nodes.size,
      children: [],
      child: null,
      replies: [],
      outputs: [],
      remarks: [],
      started: { ...event, n },
      finished: null,
      start: event.time,
      end: null,
      duration: null,
      status: "running",
      own: SPENT(),
      total: SPENT(),
      errors: 0,
    };
    parent?.children.push(node);
    this.nodes.set(node.id, node);
    this.counts[kind]++;
    this.newest = node;
    return node;
  }

  #end(node, event, n, status, duration) {
    if (node.finished) return;
    node.finished = { ...event, n };
    node.status = status;
    node.end = event.time;
    node.duration = duration;
    const kind = node.kind === "call" ? node.started.kind : node.kind;
    this.longest[kind] = Math.max(this.longest[kind] ?? 0, duration ?? 0);
    if (FAILED.has(status)) {
      this.errors++;
      for (let at = node; at; at = at.parent) at.errors++;
    }
    this.newest = node;
  }

  #spend(node, usage, model) {
    const { input_tokens: input, output_tokens: output, cost } = usage ?? {};
    const grow = (sum) => {
      sum.calls++;
      sum.input += input ?? 0;
      sum.output += output ?? 0;
      if (cost === null || cost === undefined) sum.unpriced++;
      else sum.cost = (sum.cost ?? 0) + cost;
    };
    grow(node.own);
    grow(runOf(node).own);
    grow(this.#model(model));
    for (let at = node; at; at = at.parent) grow(at.total);
  }

  #model(name) {
    if (!this.models.has(name)) this.models.set(name, SPENT());
    return this.models.get(name);
  }
}

/** The function that a cell called. */
export const callName = (node) => (node.started.kind === "tool" ? node.started.model : `${node.started.kind}_query`);

/** The reply to a turn itself, not a compaction's summary. */
export const replyOf = (turn) => turn.replies.findLast((reply) => reply.purpose !== "compaction") ?? null;

/** The first words of a reply outside its code. */
export function firstWords(text) {
  const words = [];
  let fence = "";
  for (const line of (text ?? "").slice(0, 20_000).split("\n")) {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence) fence = mark?.startsWith(fence) ? "" : fence;
    else if (mark) fence = mark;
    else words.push(line.replace(/^\s*#+\s+|\*\*/g, ""));
  }
  return words.join("\n");
}

/** The run that a node belongs to. */
export function runOf(node) {
  while (node && node.kind !== "run") node = node.parent;
  return node;
}

/** The whole prompt of a turn, rebuilt from what each turn added. */
export function messagesOf(turn) {
  const chain = [];
  const turns = turn.parent.children.filter((node) => node.kind === "turn");
  for (let i = turns.indexOf(turn); i >= 0; i--) {
    chain.unshift(turns[i]);
    if (!turns[i].started.kept) break;
  }
  const messages = [];
  for (const link of chain) {
    messages.length = Math.min(messages.length, link.started.kept ?? 0);
    messages.push(...(link.started.messages ?? []));
  }
  return messages;
}

/** The variables that are new, changed or gone since the cell before. */
export function variableChanges(cell) {
  const now = cell.finished?.variables ?? {};
  const before = cellBefore(cell)?.finished?.variables ?? {};
  const changes = [];
  for (const [name, value] of Object.entries(now)) {
    const old = before[name];
    if (!old) changes.push({ name, ...value, change: "new" });
    else if (old.preview !== value.preview || old.type !== value.type) changes.push({ name, ...value, change: "changed" });
  }
  for (const name of Object.keys(before)) if (!(name in now)) changes.push({ name, type: "", preview: "", change: "gone" });
  return changes;
}

function cellBefore(cell) {
  const cells = runOf(cell).children.flatMap((turn) => turn.children.filter((node) => node.kind === "cell"));
  const at = cells.indexOf(cell);
  return cells.slice(0, Math.max(at, 0)).findLast((each) => each.finished) ?? null;
}
