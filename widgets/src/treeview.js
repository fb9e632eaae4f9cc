// The tree on the page: a virtual list of rows that follows the WAI-ARIA tree pattern.
// https://www.w3.org/WAI/ARIA/apg/patterns/treeview/
import { h, fill, icon } from "./dom.js";
import { FAILED, callName, firstWords, replyOf } from "./fold.js";
import { dollars, plural, seconds, tokens } from "./format.js";
import { sumOf } from "./rows.js";
import { oneLine } from "./text.js";

export const ROW = 28;
const SPARE = 8;

export class TreeView {
  /**
   * `on.select(row)`, `on.toggle(row, open)`, `on.leave()` (the user scrolled or moved),
   * `now()` tells seconds since the epoch.
   */
  constructor(on, now) {
    this.on = on;
    this.now = now;
    this.rows = [];
    this.places = new Map();
    this.matches = null;
    this.active = null;
    this.shown = new Map();
    this.free = [];
    this.space = h("div", { class: "rlm-rows", role: "presentation" });
    this.element = h(
      "div",
      {
        class: "rlm-tree",
        role: "tree",
        "aria-label": "Trajectory",
        onkeydown: (event) => this.#key(event),
        onclick: (event) => this.#click(event),
        onscroll: () => this.draw(),
        onwheel: () => on.leave(),
        ontouchmove: () => on.leave(),
        onpointerdown: (event) => event.target === this.element && on.leave(),
      },
      this.space,
    );
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /** Show these rows; `matches` are the nodes that a search found. */
  set(rows, matches) {
    this.rows = rows;
    this.matches = matches;
    this.places = new Map(rows.map((row, i) => [row.key, i]));
    if (this.active !== null && !this.places.has(this.active)) this.active = rows[0]?.key ?? null;
    this.space.style.height = `${rows.length * ROW}px`;
    this.draw(true);
  }

  /** Make keys act on this row. */
  activate(key, { scroll = true, focus = false } = {}) {
    this.active = key;
    const at = this.places.get(key);
    if (at === undefined) return;
    if (scroll) this.scrollTo(at);
    this.draw(true);
    if (focus) this.shown.get(key)?.focus({ preventScroll: true });
  }

  scrollTo(at) {
    const { scrollTop, clientHeight } = this.element;
    if (at * ROW < scrollTop) this.element.scrollTop = at * ROW;
    else if ((at + 1) * ROW > scrollTop + clientHeight) this.element.scrollTop = (at + 1) * ROW - clientHeight;
  }

  /** Make elements for the visible rows; the others have none. */
  draw(all = false) {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - SPARE);
    const last = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / ROW) + SPARE);
    const wanted = new Set();
    for (let i = first; i < last; i++) wanted.add(this.rows[i].key);
    const active = this.active ?? this.rows[0]?.key;
    // The focused row keeps its element, or the page would take the focus.
    if (this.places.has(active)) wanted.add(active);
    for (const [key, element] of this.shown) {
      if (wanted.has(key)) continue;
      this.shown.delete(key);
      element.style.display = "none";
      this.free.push(element);
    }
    for (const key of wanted) {
      const at = this.places.get(key);
      let element = this.shown.get(key);
      if (!element) {
        element = this.free.pop() ?? this.space.appendChild(newRow());
        element.style.display = "";
        this.shown.set(key, element);
      } else if (!all) continue;
      this.#paint(element, this.rows[at], at, key === active);
    }
  }

  #paint(element, row, at, active) {
    element.style.transform = `translateY(${at * ROW}px)`;
    element.dataset.key = row.key;
    const { node } = row;
    const line = describe(row, this.now());
    element.id = "";
    element.tabIndex = active ? 0 : -1;
    element.setAttribute("aria-level", row.level);
    element.setAttribute("aria-posinset", row.position);
    element.setAttribute("aria-setsize", row.of);
    element.setAttribute("aria-selected", String(row.key === this.active));
    if (row.expandable) element.setAttribute("aria-expanded", String(row.open));
    else element.removeAttribute("aria-expanded");
    element.setAttribute("aria-label", line.spoken);
    element.className = `rlm-row rlm-kind-${row.group ? "group" : kindOf(node)} rlm-is-${line.status}${this.matches?.has(node) && !row.group ? " rlm-match" : ""}`;
    element.style.setProperty("--level", row.level - 1);
    const [twist, dot, name, text, errors, time, size, cost] = element.children;
    twist.classList.toggle("rlm-open", Boolean(row.open));
    twist.style.visibility = row.expandable ? "visible" : "hidden";
    dot.title = line.statusText;
    put(name, line.name);
    put(text, line.text);
    put(errors, line.errors ? String(line.errors) : "");
    errors.title = line.errors ? `${plural(line.errors, "failure")} in here` : "";
    put(time, line.time);
    put(size, line.tokens);
    put(cost, line.cost);
    size.title = cost.title = line.spent;
  }

  #click(event) {
    const element = event.target.closest(".rlm-row");
    const row = element && this.rows[this.places.get(element.dataset.key)];
    if (!row) return;
    this.on.leave();
    this.active = row.key;
    if (event.target.closest(".rlm-twist")) this.on.toggle(row, !row.open);
    this.on.select(row);
    this.activate(row.key, { focus: true, scroll: false });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.places.get(this.active) ?? 0;
    const row = this.rows[at];
    if (!row) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 1);
    const moves = {
      ArrowDown: () => this.#go(at + 1),
      ArrowUp: () => this.#go(at - 1),
      PageDown: () => this.#go(Math.min(at + page, this.rows.length - 1)),
      PageUp: () => this.#go(Math.max(at - page, 0)),
      Home: () => this.#go(0),
      End: () => this.#go(this.rows.length - 1),
      ArrowRight: () => {
        if (row.expandable && !row.open) this.on.toggle(row, true);
        else if (row.open) this.#go(at + 1);
      },
      ArrowLeft: () => {
        if (row.open) this.on.toggle(row, false);
        else if (row.above) this.#go(row.above.at);
      },
      Enter: () => this.on.select(row, { into: true }),
      " ": () => row.expandable && this.on.toggle(row, !row.open),
      "*": () => this.#openSiblings(row),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    this.on.leave();
    move();
  }

  #openSiblings(row) {
    const siblings = this.rows.filter((each) => each.above === row.above && each.expandable && !each.open);
    for (const sibling of siblings) this.on.toggle(sibling, true);
  }

  #go(at) {
    const row = this.rows[at];
    if (!row) return;
    this.activate(row.key, { focus: true });
    this.on.select(row);
  }
}

function newRow() {
  const cell = (name) => h("span", { class: `rlm-${name}` });
  return h("div", { class: "rlm-row", role: "treeitem", tabindex: "-1" },
    h("span", { class: "rlm-twist", "aria-hidden": "true" }, icon("chevron")),
    cell("dot"), cell("name"), cell("text"), cell("errors"), cell("time"), cell("size"), cell("cost"));
}

function put(element, text) {
  if (element.textContent !== text) fill(element, text);
}

export const kindOf = (node) => (node.kind === "call" ? node.started.kind : node.kind);

const STATUS = {
  running: "running",
  ok: "done",
  answered: "answered",
  exhausted: "turns used up",
  limit: "stopped by a limit",
  error: "failed",
  cancelled: "cancelled",
  interrupted: "interrupted",
  timeout: "timed out",
  died: "kernel died",
  unfinished: "not finished",
  warning: "warning",
};

export const statusText = (status) => STATUS[status] ?? status;

/** A row's text and figures. */
export function describe(row, now) {
  if (row.group) return describeGroup(row.group, now);
  const { node } = row;
  const { name, text } = wordsOf(node);
  const running = node.status === "running";
  const duration = running ? now - node.start : node.duration;
  const below = node.errors - (FAILED.has(node.status) ? 1 : 0);
  const { total } = node;
  const cost = price(total);
  const line = {
    name,
    text,
    status: running ? "running" : FAILED.has(node.status) ? "failed" : node.status,
    statusText: statusText(node.status),
    errors: below > 0 ? below : 0,
    time: node.kind === "note" ? "" : seconds(duration),
    tokens: total.calls ? tokens(total.input + total.output) : "",
    cost,
    spent: spendings(node).join("; "),
  };
  line.spoken = [name, text, statusText(node.status), line.time, cost].filter(Boolean).join(", ");
  return line;
}

function describeGroup(group, now) {
  const sum = sumOf(group);
  const [node] = group;
  const name = `${callName(node)} × ${group.length.toLocaleString("en-US")}`;
  const parts = [node.started.kind === "tool" ? "" : node.started.model, sum.running ? `${sum.running} running` : "", sum.failed ? `${sum.failed} failed` : ""];
  const text = parts.filter(Boolean).join(" · ");
  const status = sum.running ? "running" : sum.failed ? "partly" : "ok";
  const time = seconds((sum.running ? now : sum.end) - sum.start);
  const cost = dollars(sum.cost, sum.partial && sum.cost !== null);
  return { name, text, status, statusText: status, errors: sum.errors, time, tokens: sum.tokens ? tokens(sum.tokens) : "", cost, spent: "", spoken: `${name}, ${text}, ${time}` };
}

const price = ({ cost, unpriced }) => dollars(cost, unpriced > 0 && cost !== null);

/** A node's figures with all below it, and, where they are less, those of the node itself. */
export function spendings({ total, own }) {
  const sum = (spent, whose) => `${[`${tokens(spent.input)} in`, `${tokens(spent.output)} out`, price(spent)].filter(Boolean).join(", ")}${whose}`;
  if (!total.calls) return [];
  return own.calls && own.calls < total.calls ? [sum(total, " in all"), sum(own, " its own")] : [sum(total, "")];
}

/** A node's name and its first words. */
export function wordsOf(node) {
  const { started } = node;
  switch (node.kind) {
    case "run":
      return { name: node.parent ? "child" : "run", text: oneLine(started.root_prompt || started.context?.description || started.model) };
    case "turn": {
      const last = started.number > started.of;
      const reply = replyOf(node);
      const words = reply ? oneLine(firstWords(reply.text)) || "code only" : node.status === "running" ? "asking the model …" : "no reply";
      return { name: last ? "last turn" : `turn ${started.number}`, text: words };
    }
    case "cell":
      return { name: "cell", text: oneLine(started.code.split("\n").find((line) => line.trim() && !line.trim().startsWith("#")) ?? started.code) };
    case "call":
      return { name: callName(node), text: oneLine(promptText(started)) };
    default:
      return { name: started.kind, text: oneLine(started.text) };
  }
}

/** A prompt as text: messages joined, a tool's arguments as JSON. */
export function promptText({ kind, prompt }) {
  if (typeof prompt === "string") return prompt;
  if (kind === "tool" && prompt && Array.isArray(prompt.args)) {
    const named = Object.entries(prompt.kwargs ?? {}).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    return [...prompt.args.map((value) => JSON.stringify(value)), ...named].join(", ");
  }
  return JSON.stringify(prompt);
}
