// One view of a store: the header, the toolbar, the timeline, the tree and the detail pane.
import { h } from "./dom.js";
import { Detail } from "./detail.js";
import { Stepper } from "./stepper.js";
import { NOTHING, find, isActive } from "./filters.js";
import { FAILED, runOf } from "./fold.js";
import { Header } from "./header.js";
import { Expansion, rowsOf } from "./rows.js";
import { Timeline } from "./timeline.js";
import { Toolbar } from "./toolbar.js";
import { TreeView } from "./treeview.js";

const TICK = 500;

export class Viewer {
  constructor(store, { height } = {}) {
    this.store = store;
    this.expansion = new Expansion();
    this.query = { ...NOTHING };
    this.elsewhere = new Set();
    this.selected = null;
    this.following = true;
    this.stepping = false;
    const now = () => store.now();
    this.header = new Header(store);
    this.toolbar = new Toolbar({
      query: (query) => this.#search(query),
      error: (step) => this.#nextError(step),
      follow: (flag) => this.#follow(flag),
      view: (name, flag) => this.#view(name, flag),
    });
    this.treeView = new TreeView({ select: (row, how) => this.select(row, how), toggle: (row, open) => this.#toggle(row, open), leave: () => this.#leave() }, now);
    this.timeline = new Timeline({ select: (node) => this.reveal(node) }, now);
    this.timeline.element.hidden = true;
    this.stepper = new Stepper({ turn: (number) => this.#showTurn(number) });
    this.detail = new Detail(store);
    this.progress = h("div", { class: "rlm-progress", "aria-hidden": "true" });
    this.body = h("div", { class: "rlm-body" }, this.treeView.element, this.detail.element);
    this.element = h("section", { class: "rlm-viewer", "aria-label": "RLM trajectory", "data-lm-suppress-shortcuts": "true", onkeydown: (event) => this.#key(event) },
      this.header.element, this.toolbar.element, this.progress, this.timeline.element, this.stepper.element, this.body);
    if (height) this.body.style.height = `${height}px`;
    this.onChange = () => this.draw();
    this.onFound = (event) => this.#found(event.detail);
    store.addEventListener("change", this.onChange);
    store.addEventListener("found", this.onFound);
    this.timer = setInterval(() => this.#tick(), TICK);
    this.themes = new MutationObserver(() => this.timeline.draw());
    this.themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
    this.draw();
  }

  /** Stop listening; the store stays for other views. */
  close() {
    this.store.removeEventListener("change", this.onChange);
    this.store.removeEventListener("found", this.onFound);
    clearInterval(this.timer);
    this.themes.disconnect();
  }

  get tree() {
    return this.store.tree();
  }

  draw() {
    const { tree } = this;
    const live = Boolean(tree) && !tree.finished;
    const active = isActive(this.query);
    const found = active ? find(tree, this.query, this.elsewhere) : null;
    if (live && this.following && !active && !this.stepping && tree.newest) this.#openPath(tree.newest);
    this.rows = rowsOf(tree, this.expansion, { keep: found ? (node) => found.keep.has(node) : null, until: this.stepping ? this.stepper.number : null });
    this.byKey = new Map(this.rows.map((row) => [row.key, row]));
    this.matches = found ? [...found.matches] : null;
    this.header.draw();
    this.toolbar.draw(tree, { matches: found ? found.matches.size : null, following: this.following, live });
    this.treeView.set(this.rows, found?.matches ?? null);
    this.stepper.set(tree?.root?.children.filter((node) => node.kind === "turn").length ?? 1);
    if (live && this.following && !active && !this.stepping) this.#showNewest();
    else if (this.selected === null && this.rows.length) this.select(this.#firstWorthwhile(), { quiet: true });
    const row = this.byKey.get(this.selected?.key) ?? this.selected;
    this.selected = row;
    this.detail.show(row);
    this.timeline.set(tree, new Set(row ? (row.group ?? [row.node]) : []));
    const { progress } = this.store;
    this.progress.hidden = live || progress >= 1 || progress === 0;
    this.progress.style.width = `${progress * 100}%`;
  }

  select(row, { into = false, quiet = false } = {}) {
    if (!row) return;
    this.selected = row;
    if (!quiet) this.treeView.active = row.key;
    this.detail.show(row);
    this.timeline.set(this.tree, new Set(row.group ?? [row.node]));
    if (into) this.detail.element.focus();
  }

  /** Open everything above a node and select it. */
  reveal(node, { focus = false } = {}) {
    if (node.kind === "run" && node.parent) node = node.parent;
    this.#leave();
    this.expansion.reveal(node);
    this.selected = { key: node.id, node, group: null };
    this.draw();
    const row = this.byKey.get(node.id);
    if (!row) return;
    this.select(row);
    this.treeView.activate(row.key, { focus });
  }

  #firstWorthwhile() {
    return this.rows[0];
  }

  #tick() {
    if (!this.tree || this.tree.finished) return;
    this.header.draw();
    this.treeView.draw(true);
    if (!this.timeline.element.hidden) this.timeline.draw();
  }

  #toggle(row, open) {
    this.expansion.set(row, open);
    this.draw();
  }

  #search(query) {
    if (query.text !== this.query.text) {
      this.elsewhere = new Set();
      if (query.text.trim().length > 1) this.store.search(0, query.text.trim());
    }
    this.query = query;
    this.draw();
    this.treeView.element.scrollTop = 0;
  }

  #found({ text, ids }) {
    if (text !== this.query.text.trim()) return;
    this.elsewhere = new Set(ids);
    this.draw();
  }

  #nextError(step) {
    const { tree } = this;
    const failed = [...(tree?.nodes.values() ?? [])].filter((node) => FAILED.has(node.status) && !(node.kind === "run" && node.parent));
    if (!failed.length) return;
    const here = this.selected ? failed.findIndex((node) => node === this.selected.node) : -1;
    let at = here + step;
    if (here < 0) {
      const after = failed.findIndex((node) => node.index > (this.selected?.node.index ?? -1));
      at = step > 0 ? after : after - 1;
    }
    if (isActive(this.query)) this.toolbar.clear();
    this.reveal(failed[(at + failed.length) % failed.length], { focus: true });
  }

  #follow(flag) {
    this.following = flag;
    this.draw();
  }

  #leave() {
    if (!this.following) return;
    this.following = false;
    if (this.tree && !this.tree.finished) this.toolbar.draw(this.tree, { matches: this.matches?.length ?? null, following: false, live: true });
  }

  #openPath(node) {
    for (let at = node.parent; at; at = at.parent) {
      if (at.kind === "call") this.expansion.chosen.set(at.id, true);
    }
  }

  #showNewest() {
    let node = this.tree.newest;
    // A single call among thousands says little, so show its cell.
    while (node && !(this.byKey.has(node.id) && ["turn", "cell", "run"].includes(node.kind))) node = node.parent;
    // While the model has not replied yet, the turn before says more than an empty one.
    if (node?.kind === "turn" && !node.replies.length) {
      const turns = node.parent.children.filter((each) => each.kind === "turn");
      node = turns[turns.indexOf(node) - 1] ?? node;
    }
    const row = node && this.byKey.get(node.id);
    if (!row) return;
    this.selected = row;
    this.treeView.active = row.key;
    const last = this.rows.findLast((each) => runOf(each.node) === runOf(node)) ?? row;
    this.treeView.activate(row.key, { scroll: false });
    this.treeView.scrollTo(last.at);
  }

  #view(name, flag) {
    if (name === "timeline") {
      this.timeline.element.hidden = !flag;
      this.timeline.draw();
      this.timeline.show();
    } else {
      this.stepping = flag;
      this.stepper.element.hidden = !flag;
      if (flag) {
        this.#leave();
        this.stepper.go(1);
        this.stepper.element.focus();
      }
      this.draw();
    }
    this.toolbar.showView(name, flag);
  }

  #showTurn(number) {
    if (!this.stepping) return;
    const turn = this.tree?.root?.children.find((node) => node.kind === "turn" && node.started.number === number);
    if (!turn) return;
    this.expansion.reveal(turn);
    this.selected = { key: turn.id, node: turn, group: null };
    this.draw();
    const row = this.byKey.get(turn.id);
    if (!row) return;
    this.select(row);
    this.treeView.activate(row.key);
    this.treeView.scrollTo(this.rows.length - 1);
    this.treeView.scrollTo(row.at);
  }

  #key(event) {
    // Lab's shortcuts are one-letter keys, and some of them delete cells.
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "Escape") {
      if (isActive(this.query)) this.toolbar.clear();
      this.treeView.activate(this.treeView.active ?? this.rows[0]?.key, { focus: true });
      event.preventDefault();
      return;
    }
    if (typing) return;
    const { views, input } = this.toolbar;
    const keys = {
      "/": () => input.focus(),
      e: () => this.#nextError(1),
      E: () => this.#nextError(-1),
      f: () => this.#follow(!this.following),
      t: () => views.timeline.click(),
      m: () => views.stepper.click(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}
