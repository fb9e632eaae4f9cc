// What is read first: the run's status, its answer, and how much of its limits it used.
import { h, button, fill, icon } from "./dom.js";
import { copyButton } from "./blocks.js";
import { count, dollars, plural, seconds, tokens } from "./format.js";
import { prose } from "./prose.js";
import { oneLine, visible } from "./text.js";
import { statusText } from "./treeview.js";

export class Header {
  constructor(store, track = 0) {
    this.store = store;
    this.track = track;
    this.pill = h("span", { class: "rlm-pill", role: "status" });
    this.title = h("span", { class: "rlm-question" });
    this.stop = button([icon("stop"), "Stop"], () => store.stop(), { class: "rlm-button rlm-stop", title: "Stop this run; its record so far is kept" });
    this.advice = h("span", { class: "rlm-advice", role: "status" }, "The kernel is busy with this cell: use the notebook's ■ button.");
    this.advice.hidden = true;
    this.figures = h("div", { class: "rlm-figures" });
    this.bars = h("div", { class: "rlm-bars" });
    this.answer = h("div", { class: "rlm-answer" });
    this.element = h("header", { class: "rlm-head" }, h("div", { class: "rlm-head-line" }, this.pill, this.title, this.advice, this.stop), this.answer, h("div", { class: "rlm-head-line" }, this.figures, this.bars));
    this.shownAnswer = undefined;
  }

  draw() {
    const tree = this.store.tree(this.track);
    const root = tree?.root;
    this.stop.hidden = !this.store.stoppable || this.track > 0;
    if (!root) {
      this.pill.textContent = "waiting";
      this.pill.className = "rlm-pill rlm-is-waiting";
      this.title.textContent = "No run yet.";
      return;
    }
    const { status } = root;
    const stopping = status === "running" && this.store.stopping;
    set(this.pill, stopping ? "stopping" : status === "ok" ? "answered" : statusText(status));
    this.pill.className = `rlm-pill rlm-is-${status}`;
    this.stop.disabled = stopping;
    this.advice.hidden = !(stopping && this.store.unheard);
    const question = root.started.root_prompt || root.started.context?.description || root.started.model;
    set(this.title, oneLine(question, 300));
    this.title.title = visible(question.slice(0, 2000));
    this.#answer(root);
    set(this.figures, this.#figures(tree, root));
    this.#bars(root);
  }

  #answer(root) {
    const { finished } = root;
    const said = finished ? `${finished.n}${finished.cut ? "c" : ""}` : null;
    if (said === this.shownAnswer) return;
    this.shownAnswer = said;
    this.answer.hidden = !finished;
    if (!finished) return;
    if (finished.cut?.answer) this.store.load(this.track, finished.n);
    const partial = finished.status !== "answered";
    this.answer.classList.toggle("rlm-partial", partial);
    const reason = finished.error ? `${finished.error.type}: ${finished.error.message}` : finished.status === "exhausted" ? "The turns were used up, so the model had to give its final answer." : "";
    fill(this.answer,
      reason && h("p", { class: "rlm-reason" }, visible(reason)),
      finished.answer ? h("div", { class: "rlm-prose" }, partial && finished.status !== "exhausted" && h("p", { class: "rlm-quiet" }, "Best answer so far:"), prose(finished.answer)) : !reason && h("p", { class: "rlm-quiet" }, "It gave no answer."),
      finished.answer && copyButton(finished.answer));
  }

  #figures(tree, root) {
    const { counts } = tree;
    const { total } = root;
    const time = root.status === "running" ? this.store.now() - root.start : root.duration;
    return [
      oneLine(root.started.model, 40),
      plural(counts.turn, "turn"),
      counts.call ? plural(counts.call, "sub-call") : "",
      counts.run > 1 ? plural(counts.run - 1, "child run") : "",
      total.calls ? `${tokens(total.input)} tokens in, ${tokens(total.output)} out` : "",
      dollars(total.cost, total.unpriced > 0 && total.cost !== null),
      seconds(time),
      tree.errors ? plural(tree.errors, "failure") : "",
    ].filter(Boolean).join("  ·  ");
  }

  #bars(root) {
    const limits = root.started.config?.limits ?? {};
    const { total } = root;
    const elapsed = root.status === "running" ? this.store.now() - root.start : root.duration;
    const used = [
      ["money", total.cost ?? 0, limits.max_budget, dollars],
      ["tokens", total.input + total.output, limits.max_tokens, count],
      ["time", elapsed, limits.max_timeout, seconds],
    ].filter(([, , limit]) => typeof limit === "number" && limit > 0);
    while (this.bars.children.length > used.length) this.bars.lastChild.remove();
    used.forEach(([name, value, limit, show], i) => {
      const bar = this.bars.children[i] ?? this.bars.appendChild(newBar());
      const part = Math.min(1, value / limit);
      const text = `${name}: ${show(value)} of ${show(limit)}`;
      bar.title = text;
      bar.setAttribute("aria-label", text);
      bar.setAttribute("aria-valuenow", String(Math.round(part * 100)));
      bar.className = `rlm-bar${part >= 0.9 ? " rlm-near" : ""}`;
      set(bar.firstChild, name);
      bar.lastChild.firstChild.style.width = `${part * 100}%`;
    });
  }
}

const newBar = () =>
  h("div", { role: "meter", "aria-valuemin": "0", "aria-valuemax": "100" }, h("span", {}), h("span", { class: "rlm-track" }, h("span", { class: "rlm-filled" })));

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
