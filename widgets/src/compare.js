// Two runs side by side: their ends, then turn by turn what each did and where they part.
import { h, fill } from "./dom.js";
import { section } from "./blocks.js";
import { diff } from "./diff.js";
import { firstWords, replyOf } from "./fold.js";
import { dollars, seconds, tokens } from "./format.js";
import { Header } from "./header.js";
import { output } from "./outputs.js";
import { prose } from "./prose.js";
import { oneLine, visible } from "./text.js";

export class Comparison {
  constructor(store, { height } = {}) {
    this.store = store;
    this.headers = [new Header(store, 0), new Header(store, 1)];
    this.list = h("div", { class: "rlm-turns", role: "listbox", "aria-label": "Turns", tabindex: "0", onkeydown: (event) => this.#key(event), onclick: (event) => this.#click(event) });
    this.detail = h("div", { class: "rlm-detail rlm-both", tabindex: "0" });
    this.body = h("div", { class: "rlm-body rlm-compare-body" }, this.list, this.detail);
    this.element = h("section", { class: "rlm-viewer rlm-compare", "aria-label": "Two RLM trajectories", "data-lm-suppress-shortcuts": "true", onkeydown: (event) => event.stopPropagation() },
      h("div", { class: "rlm-pair" }, this.headers.map((header) => header.element)), this.body);
    if (height) this.body.style.height = `${height}px`;
    this.turn = 0;
    this.sign = "";
    this.onChange = () => this.draw();
    store.addEventListener("change", this.onChange);
    this.draw();
  }

  close() {
    this.store.removeEventListener("change", this.onChange);
  }

  draw() {
    for (const header of this.headers) header.draw();
    const [left, right] = [0, 1].map((track) => turnsOf(this.store.tree(track)));
    this.pairs = Array.from({ length: Math.max(left.length, right.length) }, (_, i) => [left[i], right[i]]);
    const sign = JSON.stringify(this.pairs.map((pair) => pair.map((turn) => turn && [turn.status, turn.replies.length, turn.replies[0]?.cut ? 1 : 0, turn.children.length])));
    if (sign === this.sign) return;
    this.sign = sign;
    this.#list();
    this.#show();
  }

  #list() {
    fill(this.list, this.pairs.map((pair, i) => {
      const same = pair[0] && pair[1] && codeOf(pair[0]) === codeOf(pair[1]);
      const mark = !pair[0] || !pair[1] ? "only one" : same ? "same code" : "differs";
      return h("div", { class: `rlm-pair rlm-turn-pair${i === this.turn ? " rlm-chosen" : ""}`, role: "option", "aria-selected": String(i === this.turn), "data-turn": i },
        h("div", { class: "rlm-pair-number" }, `turn ${i + 1}`, h("span", { class: `rlm-tag rlm-tag-${mark.split(" ")[0]}` }, mark)), pair.map((turn) => h("div", { class: "rlm-side" }, turn ? sideOf(turn) : h("span", { class: "rlm-quiet" }, "—"))));
    }));
  }

  #show() {
    const pair = this.pairs[this.turn];
    if (!pair) return fill(this.detail, h("p", { class: "rlm-quiet" }, "Nothing to compare yet."));
    const [left, right] = pair;
    const lines = diff(codeOf(left), codeOf(right));
    for (const [track, turn] of pair.entries()) for (const event of cutsOf(turn)) this.store.load(track, event.n);
    fill(this.detail,
      section("Code", { remark: lines.every((line) => line.kind === "same") ? "the same" : "left − right +" },
        h("pre", { class: "rlm-pre rlm-code rlm-diff" }, lines.map(({ kind, text }) => h("span", { class: `rlm-line-${kind}` }, `${{ same: " ", gone: "−", new: "+" }[kind]} ${visible(text)}`)))),
      section("Reply", {}, h("div", { class: "rlm-pair" }, pair.map((turn) => h("div", { class: "rlm-prose" }, prose(replyOf(turn ?? { replies: [] })?.text ?? ""))))),
      section("Output", {}, h("div", { class: "rlm-pair" }, pair.map((turn) => h("div", {}, cellsOf(turn).flatMap((cell) => cell.outputs.map(output)))))));
  }

  #go(turn) {
    if (turn < 0 || turn >= this.pairs.length) return;
    this.turn = turn;
    this.#list();
    this.#show();
    this.list.children[turn].scrollIntoView({ block: "nearest" });
  }

  #click(event) {
    const chosen = event.target.closest("[data-turn]");
    if (chosen) this.#go(Number(chosen.dataset.turn));
  }

  #key(event) {
    const to = { ArrowDown: this.turn + 1, ArrowRight: this.turn + 1, ArrowUp: this.turn - 1, ArrowLeft: this.turn - 1, Home: 0, End: this.pairs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#go(to);
  }
}

const turnsOf = (tree) => tree?.root?.children.filter((node) => node.kind === "turn") ?? [];
const cellsOf = (turn) => turn?.children.filter((node) => node.kind === "cell") ?? [];
const codeOf = (turn) => cellsOf(turn).map((cell) => cell.started.code).join("\n\n");

function* cutsOf(turn) {
  if (!turn) return;
  for (const reply of turn.replies) if (reply.cut) yield reply;
  for (const cell of cellsOf(turn)) {
    if (cell.started.cut) yield cell.started;
    for (const each of cell.outputs) if (each.cut) yield each;
  }
}

function sideOf(turn) {
  const { total } = turn;
  const figures = [seconds(turn.duration), total.calls ? tokens(total.input + total.output) : "", dollars(total.cost)].filter(Boolean).join(" · ");
  const words = oneLine(firstWords(replyOf(turn)?.text ?? "")) || oneLine(codeOf(turn)) || "…";
  return [h("div", { class: "rlm-words" }, words), h("div", { class: "rlm-figures" }, figures)];
}
