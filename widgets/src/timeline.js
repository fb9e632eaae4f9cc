// The timeline: every node as a bar on a canvas, time to the right, nesting and concurrency down.
// The canvas is as tall as the visible part: it stays in place in a scrolled space as tall as all
// lanes, and only the visible lanes are drawn. The lanes are laid out when the tree has grown.
import { h, button } from "./dom.js";
import { ownCost } from "./filters.js";
import { FAILED } from "./fold.js";
import { dollars, seconds } from "./format.js";
import { lanesOf } from "./lanes.js";
import { toggle } from "./toolbar.js";
import { describe } from "./treeview.js";

const AXIS = 20;
const TALL = 14;
const LOW = 4;
const PAD = 6;
const COLORS = 8;

export class Timeline {
  /** `on.select(node)`; `now()` tells seconds since the epoch. */
  constructor(on, now) {
    this.on = on;
    this.now = now;
    this.tree = null;
    this.laid = null;
    this.lanes = [];
    this.tops = [0];
    this.selected = new Set();
    this.byCost = false;
    this.view = null;
    this.canvas = h("canvas", {
      role: "img",
      "aria-label": "Timeline of the run; the tree below it has the same rows",
      onclick: (event) => this.#click(event),
      onpointermove: (event) => this.#hover(event),
      onpointerleave: () => (this.hint.textContent = ""),
      ondblclick: () => this.zoom(null),
    });
    this.canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.space = h("div", { class: "rlm-timeline-space" }, this.canvas);
    this.scroll = h("div", { class: "rlm-timeline-scroll", tabindex: "0", role: "group", "aria-label": "Timeline", onscroll: () => this.draw() }, this.space);
    this.hint = h("span", { class: "rlm-hint" });
    this.cost = toggle("Colour by cost", "Colour by cost instead of by model", (flag) => {
      this.byCost = flag;
      this.draw();
    });
    this.legend = h("span", { class: "rlm-legend" });
    this.element = h("div", { class: "rlm-timeline" },
      h("div", { class: "rlm-timeline-head" }, this.legend, this.hint, h("span", { class: "rlm-gap" }),
        button("−", () => this.#scale(2), { title: "Zoom out", "aria-label": "Zoom out" }), button("+", () => this.#scale(0.5), { title: "Zoom in (Ctrl + wheel)", "aria-label": "Zoom in" }), button("All", () => this.zoom(null), { title: "Show the whole run (double click)" }), this.cost),
      this.scroll);
    new ResizeObserver(() => this.draw()).observe(this.scroll);
  }

  set(tree, selected) {
    const [node] = selected.size === 1 ? selected : [];
    const other = node !== this.chosen;
    this.tree = tree;
    this.selected = selected;
    this.chosen = node;
    if (this.element.hidden) return;
    this.draw();
    if (other) this.show();
  }

  /** Scroll to the chosen node. */
  show() {
    const lane = this.lanes.findIndex((nodes) => nodes.includes(this.chosen));
    if (lane < 0) return;
    const { scrollTop, clientHeight } = this.scroll;
    const [top, bottom] = [this.tops[lane], this.tops[lane + 1] + AXIS + PAD];
    if (top < scrollTop) this.scroll.scrollTop = top;
    else if (bottom > scrollTop + clientHeight) this.scroll.scrollTop = bottom - clientHeight;
  }

  /** Show a range of time: `[from, to]` in seconds since the epoch; null for all of it. */
  zoom(view) {
    this.view = view;
    this.draw();
  }

  get #range() {
    const { root } = this.tree;
    const end = Math.max(root.end ?? this.now(), root.start + 0.001);
    return this.view ?? [root.start, end];
  }

  draw() {
    if (!this.tree?.root || this.element.hidden) return;
    this.#layOut();
    const { clientWidth: width, clientHeight: height, scrollTop } = this.scroll;
    if (width === 0) return;
    const pen = this.#pen(width, height);
    const style = getComputedStyle(this.element);
    const color = (name) => style.getPropertyValue(name).trim();
    const [from, to] = this.#range;
    this.x = (time) => PAD + ((time - from) / (to - from)) * (width - 2 * PAD);
    this.#axis(pen, color, width, height, from, to);
    pen.save();
    pen.beginPath();
    pen.rect(0, AXIS, width, height - AXIS);
    pen.clip();
    const paint = this.#painter(color);
    for (let lane = this.#laneAt(scrollTop); lane < this.lanes.length && this.tops[lane] < scrollTop + height - AXIS; lane++) {
      for (const node of this.lanes[lane]) this.#bar(pen, node, AXIS + this.tops[lane] - scrollTop, this.heights[lane], paint, color, width);
    }
    pen.restore();
    this.#legend();
  }

  /** Give each node its lane and each lane its height: those that hold only calls get thin when they are many. */
  #layOut() {
    const { tree } = this;
    if (this.laid?.tree === tree && this.laid.events === tree.events) return;
    this.laid = { tree, events: tree.events };
    this.lanes = lanesOf(tree);
    const tall = this.lanes.map((nodes) => nodes.some((node) => node.kind !== "call" || node.children.length));
    const talls = tall.filter(Boolean).length;
    const thin = Math.floor((200 - talls * TALL) / (tall.length - talls));
    this.heights = tall.map((flag) => (flag ? TALL : Math.min(TALL, Math.max(LOW, thin))));
    this.tops = [0];
    for (const height of this.heights) this.tops.push(this.tops.at(-1) + height);
    this.space.style.height = `${AXIS + this.tops.at(-1) + PAD}px`;
    this.most = 0;
    for (const node of tree.nodes.values()) this.most = Math.max(this.most, ownCost(node) ?? 0);
  }

  /** Return a context for the canvas, cleared and as large as the visible part. */
  #pen(width, height) {
    const ratio = window.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== across || this.canvas.height !== down) {
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
      this.canvas.width = across;
      this.canvas.height = down;
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return pen;
  }

  /** The lane at a height of the scrolled space, by bisection. */
  #laneAt(y) {
    let [lane, behind] = [0, this.lanes.length];
    while (behind - lane > 1) {
      const middle = (lane + behind) >> 1;
      if (this.tops[middle] <= y) lane = middle;
      else behind = middle;
    }
    return lane;
  }

  #end(node) {
    return node.end ?? Math.max(this.now(), node.start);
  }

  #axis(pen, color, width, height, from, to) {
    pen.font = `11px ${color("--rlm-font") || "sans-serif"}`;
    pen.fillStyle = color("--rlm-quiet");
    pen.strokeStyle = color("--rlm-line");
    const origin = this.tree.root.start;
    const step = niceStep((to - from) / Math.max(2, width / 110));
    for (let at = Math.ceil((from - origin) / step) * step; at <= to - origin; at += step) {
      const x = Math.round(this.x(origin + at)) + 0.5;
      pen.beginPath();
      pen.moveTo(x, AXIS - 4);
      pen.lineTo(x, height);
      pen.stroke();
      pen.fillText(at === 0 ? "0" : seconds(at), Math.min(x + 3, width - 40), 11);
    }
  }

  #bar(pen, node, y, height, paint, color, width) {
    const x = this.x(node.start);
    const end = this.x(this.#end(node));
    if (end < 0 || x > width) return;
    const roomy = height > 6;
    const high = height - (roomy ? 2 : 1);
    const w = Math.max(1.5, end - x - (roomy ? 1 : 0));
    const chosen = this.selected.has(node);
    const aside = this.selected.size > 1 && !chosen && node.kind === "call";
    pen.globalAlpha = aside ? 0.35 : node.status === "running" ? 0.6 : 1;
    pen.fillStyle = chosen && !roomy && this.selected.size === 1 ? color("--rlm-accent") : paint(node);
    pen.beginPath();
    if (roomy && w > 6) pen.roundRect(x, y, w, high, 3);
    else pen.rect(x, y, w, high);
    pen.fill();
    pen.globalAlpha = 1;
    if (FAILED.has(node.status)) {
      pen.fillStyle = color("--rlm-bad");
      pen.fillRect(x, y, Math.max(2, Math.min(w, 4)), high);
    }
    if (chosen && roomy && this.selected.size === 1) {
      pen.strokeStyle = color("--rlm-text");
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.roundRect(x + 0.5, y + 0.5, w - 1, high - 1, 3);
      pen.stroke();
      pen.lineWidth = 1;
    }
    if (height >= TALL && w > 60) {
      const { name, text } = describe({ node }, this.now());
      pen.save();
      pen.beginPath();
      pen.rect(Math.max(x, 0), y, w - 4, high);
      pen.clip();
      pen.font = `10px ${color("--rlm-font") || "sans-serif"}`;
      pen.fillStyle = color("--rlm-bar-text");
      pen.fillText(`${name}  ${text}`.slice(0, 200), Math.max(x, 0) + 5, y + 9);
      pen.restore();
    }
  }

  #painter(color) {
    if (this.byCost) {
      const shades = [1, 2, 3, 4, 5].map((i) => color(`--rlm-heat-${i}`));
      const none = color("--rlm-shade");
      return (node) => (ownCost(node) ? shades[Math.min(4, Math.floor((ownCost(node) / this.most) * 5))] : none);
    }
    const models = [...this.tree.models.keys()];
    const colors = Array.from({ length: COLORS }, (_, i) => color(`--rlm-hue-${i}`));
    const plain = { run: color("--rlm-shade"), cell: color("--rlm-shade-2"), tool: color("--rlm-shade-3") };
    return (node) => {
      if (node.kind === "run" || node.kind === "cell") return plain[node.kind];
      if (node.kind === "call" && node.started.kind === "tool") return plain.tool;
      const model = node.kind === "turn" ? (node.replies[0]?.model ?? node.parent.started.model) : node.started.model;
      return colors[Math.max(0, models.indexOf(model)) % COLORS];
    };
  }

  #legend() {
    const names = this.byCost ? [] : [...this.tree.models.keys()].slice(0, COLORS);
    const sign = names.join("\n");
    if (this.legend.dataset.sign === sign) return;
    this.legend.dataset.sign = sign;
    this.legend.replaceChildren(...names.map((name, i) => h("span", { class: "rlm-key" }, h("i", { style: `background:var(--rlm-hue-${i % COLORS})` }), name)));
  }

  /** The node under the pointer. */
  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top - AXIS + this.scroll.scrollTop;
    if (event.clientY - box.top < AXIS || y >= this.tops.at(-1)) return undefined;
    return this.lanes[this.#laneAt(y)].findLast((node) => x >= this.x(node.start) - 2 && x <= Math.max(this.x(this.#end(node)), this.x(node.start) + 2) + 2);
  }

  #click(event) {
    const node = this.#at(event);
    if (node) this.on.select(node);
  }

  #hover(event) {
    const node = this.#at(event);
    this.canvas.style.cursor = node ? "pointer" : "default";
    if (!node) return (this.hint.textContent = "");
    const { name, text, time } = describe({ node }, this.now());
    this.hint.textContent = [name, text.slice(0, 80), time, dollars(node.own.cost)].filter(Boolean).join("  ·  ");
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    this.#scale(event.deltaY > 0 ? 1.25 : 0.8, (event.clientX - box.left - PAD) / Math.max(1, box.width - 2 * PAD));
  }

  #scale(factor, part = 0.5) {
    if (!this.tree?.root) return;
    const [from, to] = this.#range;
    const { root } = this.tree;
    const all = [root.start, root.end ?? this.now()];
    const span = Math.max(0.002, (to - from) * factor);
    const start = from + (to - from) * part - span * part;
    this.zoom(span >= all[1] - all[0] ? null : [Math.max(all[0], start), Math.min(all[1], start + span)]);
  }
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 0.001)));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= rough);
}
