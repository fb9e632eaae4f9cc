// Search, filters, and the buttons that switch views.
import { h, button, fill, icon } from "./dom.js";
import { KINDS, NOTHING } from "./filters.js";

export class Toolbar {
  /** `on.query(query)`, `on.error(step)`, `on.follow(flag)`, `on.view(name, flag)`. */
  constructor(on) {
    this.on = on;
    this.query = { ...NOTHING };
    this.input = h("input", { class: "rlm-input", type: "search", placeholder: "Search", "aria-label": "Search the trajectory", spellcheck: "false", oninput: () => this.#change({ text: this.input.value }) });
    this.kind = h("select", { class: "rlm-select", "aria-label": "Kind", onchange: () => this.#change({ kind: this.kind.value }) }, h("option", { value: "" }, "All kinds"), Object.entries(KINDS).map(([value, name]) => h("option", { value }, name)));
    this.model = h("select", { class: "rlm-select", "aria-label": "Model", onchange: () => this.#change({ model: this.model.value }) }, h("option", { value: "" }, "All models"));
    this.chips = {};
    for (const [name, label, title] of [["errors", "Failed", "Show only what failed"], ["slow", "Slow", "Show the slowest tenth of each kind"], ["costly", "Costly", "Show the most expensive tenth of each kind"]]) {
      this.chips[name] = toggle(label, title, (on) => this.#change({ [name]: on }));
    }
    this.found = h("span", { class: "rlm-found", role: "status" });
    this.next = button("Next failure", () => on.error(1), { title: "Next failure (E), previous (Shift+E)" });
    this.follow = toggle("Follow", "Keep the newest step in view (F)", (flag) => on.follow(flag));
    this.views = {};
    for (const [name, label, title] of [["timeline", "Timeline", "Show time and concurrency (T)"], ["stepper", "Film", "Step through the turns with the arrow keys (M)"]]) {
      this.views[name] = toggle(label, title, (flag) => on.view(name, flag));
    }
    this.element = h("div", { class: "rlm-toolbar", role: "toolbar", "aria-label": "Search and views" },
      h("label", { class: "rlm-search" }, icon("search"), this.input), this.kind, this.model, Object.values(this.chips), this.found, this.next,
      h("span", { class: "rlm-gap" }), this.follow, Object.values(this.views));
  }

  draw(tree, { matches, following, live }) {
    const models = [...(tree?.models.keys() ?? [])];
    if (this.model.options.length !== models.length + 1) {
      fill(this.model, h("option", { value: "" }, "All models"), models.map((name) => h("option", { value: name }, name)));
      this.model.value = this.query.model;
    }
    this.model.hidden = models.length < 2;
    this.next.hidden = !tree?.errors;
    this.follow.hidden = !live;
    press(this.follow, following);
    const text = matches === null ? "" : `${matches.toLocaleString("en-US")} found`;
    if (this.found.textContent !== text) this.found.textContent = text;
  }

  showView(name, flag) {
    press(this.views[name], flag);
  }

  clear() {
    this.input.value = "";
    this.kind.value = "";
    this.model.value = "";
    for (const chip of Object.values(this.chips)) press(chip, false);
    this.#change({ ...NOTHING });
  }

  #change(part) {
    this.query = { ...this.query, ...part };
    this.on.query(this.query);
  }
}

export function toggle(label, title, on) {
  const made = button(label, () => {
    press(made, made.getAttribute("aria-pressed") !== "true");
    on(made.getAttribute("aria-pressed") === "true");
  }, { class: "rlm-button rlm-toggle", title, "aria-pressed": "false" });
  return made;
}

const press = (element, flag) => element.setAttribute("aria-pressed", String(Boolean(flag)));
