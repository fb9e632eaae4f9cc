// The timeline: every node as a bar on a canvas, time to the right, nesting and concurrency down.
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
    this.bars = [];
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
    this.scroll = h("div", { class: "rlm-timeline-scroll" }, this.canvas);
    this.hint = h("span", { class: "rlm-hint" });
    this.cost = toggle("Colour by cost", "Colour by cost instead of by model", (flag) => {
      this.byCost = flag;
      this.draw();
    });
    this.legend = h("span", { class: "rlm-legend" });
    this.element = h("div", { class: "rlm-timeline" },
      h("div", { class: "rlm-timeline-head" }, this.legend, this.hint, h("span", { class: "rlm-gap" }),
        button("−", () => this.#scale(2), { title: "Zoom out", "aria-label": "Zoom out" }), button("+", () => this.#scale(0.5), { title: "Zoom in (Ctrl + wheel)", "aria-label": "Zoom in" }), button("All", () => this.zoom(null), { title: "Show all of it (double click)" }), this.cost),
      this.scroll);
    new ResizeObserver(() => this.draw()).observe(this.scroll);
  }

  set(tree, selected) {
    this.tree = tree;
    this.selected = selected;
    if (!this.element.hidden) this.draw();
  }

  /** Show a stretch of time: `[from, to]` in seconds since the epoch; null for all of it. */
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
    const width = this.scroll.clientWidth;
    if (!this.tree?.root || this.element.hidden || width === 0) return;
    const { bars, lanes } = lanesOf(this.tree, this.now());
    this.bars = bars;
    this.#measure(lanes);
    const height = this.tops[lanes] + PAD;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(this.element);
    const color = (name) => style.getPropertyValue(name).trim();
    const [from, to] = this.#range;
    this.x = (time) => PAD + ((time - from) / (to - from)) * (width - 2 * PAD);
    this.#axis(pen, color, width, height, from, to);
    const paint = this.#painter(color);
    for (const bar of bars) this.#bar(pen, bar, paint, color, width);
    this.#legend();
  }

  /** Give each lane its height: lanes that hold only calls get thin when they are many. */
  #measure(lanes) {
    const tall = new Array(lanes).fill(false);
    for (const { node, lane } of this.bars) if (node.kind !== "call" || node.children.length) tall[lane] = true;
    const talls = tall.filter(Boolean).length;
    const thin = lanes - talls ? Math.floor((200 - talls * TALL) / (lanes - talls)) : TALL;
    this.heights = tall.map((flag) => (flag ? TALL : Math.min(TALL, Math.max(LOW, thin))));
    this.tops = [AXIS];
    for (const height of this.heights) this.tops.push(this.tops.at(-1) + height);
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

  #bar(pen, { node, from, to, lane }, paint, color, width) {
    const x = this.x(from);
    const end = this.x(to);
    if (end < 0 || x > width) return;
    const y = this.tops[lane];
    const roomy = this.heights[lane] > 6;
    const high = this.heights[lane] - (roomy ? 2 : 1);
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
    if (this.heights[lane] >= TALL && w > 60) {
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
      let most = 0;
      for (const { node } of this.bars) most = Math.max(most, ownCost(node) ?? 0);
      const shades = [1, 2, 3, 4, 5].map((i) => color(`--rlm-heat-${i}`));
      const none = color("--rlm-shade");
      return (node) => (ownCost(node) ? shades[Math.min(4, Math.floor((ownCost(node) / most) * 5))] : none);
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

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    const lane = this.tops.findLastIndex((top) => top <= y);
    return this.bars.findLast((bar) => bar.lane === lane && x >= this.x(bar.from) - 2 && x <= Math.max(this.x(bar.to), this.x(bar.from) + 2) + 2);
  }

  #click(event) {
    const bar = this.#at(event);
    if (bar) this.on.select(bar.node);
  }

  #hover(event) {
    const bar = this.#at(event);
    this.canvas.style.cursor = bar ? "pointer" : "default";
    if (!bar) return (this.hint.textContent = "");
    const { name, text, time } = describe({ node: bar.node }, this.now());
    this.hint.textContent = [name, text.slice(0, 80), time, dollars(bar.node.own.cost)].filter(Boolean).join("  ·  ");
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
