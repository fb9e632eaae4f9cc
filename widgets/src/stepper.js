// Steps through the run turn by turn with the arrow keys, and shows the run up to that turn.
import { h, button } from "./dom.js";

export class Stepper {
  /** `on.turn(number)` shows the run as it was at the end of a turn. */
  constructor(on) {
    this.on = on;
    this.number = 1;
    this.of = 1;
    this.range = h("input", { type: "range", min: "1", step: "1", class: "rlm-range", "aria-label": "Turn", oninput: () => this.go(Number(this.range.value)) });
    this.label = h("span", { class: "rlm-stepper-label", role: "status" });
    this.element = h("div", { class: "rlm-stepper", tabindex: "0", role: "group", "aria-label": "Film: arrow keys step through the turns", onkeydown: (event) => this.key(event) },
      button("◀", () => this.go(this.number - 1), { "aria-label": "Previous turn" }), this.range, button("▶", () => this.go(this.number + 1), { "aria-label": "Next turn" }), this.label);
    this.element.hidden = true;
  }

  set(turns) {
    this.of = Math.max(1, turns);
    this.range.max = String(this.of);
    this.#label();
  }

  go(number) {
    this.number = Math.min(Math.max(1, number), this.of);
    this.#label();
    this.on.turn(this.number);
  }

  key(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 5, PageUp: -5, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.go(this.number + steps[event.key]);
  }

  #label() {
    this.range.value = String(this.number);
    this.label.textContent = `turn ${this.number} of ${this.of}`;
  }
}
