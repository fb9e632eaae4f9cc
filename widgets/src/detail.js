// The pane next to the tree: all that is known about the selected row.
import { h, fill } from "./dom.js";
import { block, facts, section } from "./blocks.js";
import { callName, messagesOf, replyOf, variableChanges } from "./fold.js";
import { count, dollars, plural, seconds, size, tokens } from "./format.js";
import { output } from "./outputs.js";
import { grid, prose } from "./prose.js";
import { sumOf } from "./rows.js";
import { visible } from "./text.js";
import { promptText, spendings, statusText, wordsOf } from "./treeview.js";

/** Shows a row, and shows it again when its node has grown. */
export class Detail {
  constructor(store, track = 0) {
    this.store = store;
    this.track = track;
    this.row = null;
    this.sign = "";
    this.element = h("div", { class: "rlm-detail", role: "region", "aria-label": "Detail", tabindex: "0" });
  }

  show(row) {
    const other = this.row?.key !== row?.key;
    this.row = row;
    const sign = row ? signature(row) : "";
    if (!other && sign === this.sign) return;
    this.sign = sign;
    const title = (each) => each.querySelector(".rlm-title").textContent;
    const open = new Map(other ? [] : [...this.element.querySelectorAll("details")].map((each) => [title(each), each.open]));
    const { scrollTop } = this.element;
    fill(this.element, row ? this.#content(row) : h("p", { class: "rlm-quiet" }, "Select a row to see what happened there."));
    for (const each of this.element.querySelectorAll("details")) each.open = open.get(title(each)) ?? each.open;
    this.element.scrollTop = other ? 0 : scrollTop;
  }

  #content(row) {
    if (row.group) return this.#group(row.group);
    const { node } = row;
    const { name } = wordsOf(node);
    const head = h("header", { class: "rlm-detail-head" }, h("h3", {}, visible(name)), h("span", { class: `rlm-pill rlm-is-${node.status}` }, statusText(node.status)), figures(node));
    return [head, this[node.kind](node)];
  }

  /** Text that may have been sent shortened: requests the rest. */
  whole(event, field) {
    const full = event?.cut?.[field];
    if (!full) return null;
    if (event.whole) return h("p", { class: "rlm-quiet" }, `${size(full)} in all: save the trajectory to read the rest.`);
    this.store.load(this.track, event.n);
    return h("p", { class: "rlm-quiet rlm-loading" }, `Shortened here; all ${size(full)} are being loaded, which waits while a cell runs.`);
  }

  run(node) {
    const { started, finished } = node;
    const { config = {}, context = {} } = started;
    return [
      node.parent && finished?.answer && section(finished.status === "answered" ? "Answer" : "Best answer so far", { copy: finished.answer }, h("div", { class: "rlm-prose" }, prose(finished.answer)), this.whole(finished, "answer")),
      finished?.error && section("Error", {}, block(`${finished.error.type}: ${finished.error.message}`)),
      started.root_prompt && section("Question", { copy: started.root_prompt }, h("div", { class: "rlm-prose" }, h("p", { class: "rlm-as-is" }, visible(started.root_prompt))), this.whole(started, "root_prompt")),
      section("Context", {}, h("p", { class: "rlm-as-is" }, visible(context.description ?? context.type ?? "")), context.preview && block(context.preview), node.remarks.map((text) => h("p", { class: "rlm-quiet rlm-as-is" }, visible(text)))),
      section("Usage", {}, this.#usage(node)),
      section("Settings", { open: false }, facts([
        ["model", started.model],
        ["backend", config.backend],
        ["environment", config.environment_type],
        ["depth", `${started.depth} of ${config.max_depth ?? "?"}`],
        ["turns", config.max_iterations && `at most ${config.max_iterations}`],
        ["limits", limitsText(config.limits)],
        ["run", node.id],
      ])),
    ];
  }

  turn(node) {
    const reply = replyOf(node);
    const { started, finished } = node;
    const cells = node.children.filter((child) => child.kind === "cell");
    const notes = node.children.filter((child) => child.kind === "note");
    const changes = cells.flatMap(variableChanges);
    const messages = started.messages ?? [];
    const whole = messagesOf(node);
    return [
      finished?.final_answer && section("Answer", { copy: finished.final_answer }, h("div", { class: "rlm-prose" }, prose(finished.final_answer))),
      reply ? section("Reply", { copy: reply.text, remark: replyRemark(reply) }, h("div", { class: "rlm-prose" }, prose(reply.text)), this.whole(reply, "text")) : h("p", { class: "rlm-quiet" }, node.status === "running" ? "Waiting for the model …" : "The model sent no reply."),
      this.#reasoning(reply),
      cells.map((cell) => this.#outputs(cell, cells.length > 1 ? `Output of block ${cell.started.number}` : "Output")),
      changes.length > 0 && this.#variables(changes),
      notes.map((note) => section(`Note: ${note.started.kind}`, {}, h("p", { class: "rlm-as-is" }, visible(note.started.text)))),
      section("Prompt: what this turn added", { open: false, remark: plural(messages.length, "message"), copy: () => messagesText(messages) }, this.#messages(messages), this.whole(started, "messages")),
      whole.length > messages.length && this.#later("Prompt: all of it", plural(whole.length, "message"), () => this.#messages(whole)),
    ];
  }

  cell(node) {
    const { started, finished } = node;
    const calls = node.children.filter((child) => child.kind === "call");
    return [
      section("Code", { copy: started.code }, block(started.code, { code: true }), this.whole(started, "code")),
      this.#outputs(node, "Output"),
      finished?.final_answer && section("Answer", { copy: finished.final_answer }, h("div", { class: "rlm-prose" }, prose(finished.final_answer))),
      calls.length > 0 && section("Sub-calls", { remark: plural(calls.length, "call") }, summary(calls)),
      finished && this.#variables(variableChanges(node), Object.entries(finished.variables ?? {})),
      finished && section("What the model was shown", { open: false, copy: finished.shown }, block(finished.shown), this.whole(finished, "shown")),
    ];
  }

  call(node) {
    const { started, finished, child } = node;
    const prompt = typeof started.prompt === "string" ? started.prompt : promptText(started);
    const response = finished && (typeof finished.response === "string" ? finished.response : JSON.stringify(finished.response, null, 2));
    return [
      finished?.error && section("Error", { copy: finished.error }, block(finished.error)),
      finished && !finished.error && section("Response", { copy: response }, block(response ?? "null"), this.whole(finished, "response")),
      this.#reasoning(finished),
      !finished && h("p", { class: "rlm-quiet" }, node.status === "running" ? "Waiting for the answer …" : "No answer came."),
      section(started.kind === "tool" ? "Arguments" : "Prompt", { copy: prompt, remark: size(started.cut?.prompt ?? prompt.length) }, block(prompt), this.whole(started, "prompt")),
      facts([["model", started.kind === "tool" ? "" : started.model]]),
      child && section("The child run", { open: false }, this.run(child)),
    ];
  }

  note(node) {
    const data = Object.entries(node.started.data ?? {});
    return [h("p", { class: "rlm-as-is" }, visible(node.started.text)), data.length > 0 && facts(data.map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]))];
  }

  #group(group) {
    const name = `${callName(group[0])} × ${count(group.length)}`;
    return [h("header", { class: "rlm-detail-head" }, h("h3", {}, visible(name))), summary(group)];
  }

  #outputs(cell, title) {
    if (!cell.outputs.length && !cell.finished) return section(title, {}, h("p", { class: "rlm-quiet" }, cell.status === "running" ? "Running …" : "It did not finish."));
    const remark = [seconds(cell.duration), cell.status === "ok" ? "" : statusText(cell.status)].filter(Boolean).join(" · ");
    const shown = cell.outputs.length ? cell.outputs.map((each) => [output(each), this.whole(each, "output")]) : h("p", { class: "rlm-quiet" }, "No output.");
    return section(title, { remark, copy: () => outputText(cell) }, shown);
  }

  #variables(changes, all = []) {
    if (!changes.length && !all.length) return null;
    const rows = (entries) => grid(null, entries);
    return section("Variables", { remark: changes.length ? `${changes.length} added or changed` : "none changed" },
      changes.length > 0 && h("div", { class: "rlm-scroll" }, rows(changes.map(({ change, name, type, preview }) => [change, name, type, preview]))),
      all.length > changes.length && this.#later("All variables", count(all.length), () => h("div", { class: "rlm-scroll" }, rows(all.map(([name, { type, preview }]) => [name, type, preview])))));
  }

  /** What the model thought, folded: it is no part of what it said. */
  #reasoning(event) {
    const text = event?.reasoning;
    return text && section("Reasoning", { open: false, copy: text, remark: size(event.cut?.reasoning ?? text.length) }, block(text), this.whole(event, "reasoning"));
  }

  #messages(messages) {
    return messages.map((message) => h("div", { class: "rlm-message" }, h("div", { class: "rlm-role" }, visible(String(message.role))), block(contentText(message.content))));
  }

  /** A section whose content is made when it is opened. */
  #later(title, remark, make) {
    const made = section(title, { open: false, remark });
    made.addEventListener("toggle", () => made.open && made.children.length === 1 && made.append(...[make()].flat()));
    return made;
  }

  #usage(node) {
    const tree = this.store.tree(this.track);
    const figures = (sum) => [count(sum.calls), tokens(sum.input), tokens(sum.output), dollars(sum.cost, sum.unpriced > 0 && sum.cost !== null) || "unknown"];
    const rows = node.parent ? [] : [...tree.models].filter(([, sum]) => sum.calls).map(([model, sum]) => [model, ...figures(sum)]);
    if (node.own.calls < node.total.calls) rows.push(["without its child runs", ...figures(node.own)]);
    rows.push(["all", ...figures(node.total)]);
    return h("div", { class: "rlm-scroll" }, grid(["model", "calls", "tokens in", "out", "cost"], rows));
  }
}

function signature(row) {
  if (row.group) return `${row.group.length}/${row.group.filter((node) => node.finished).length}`;
  const one = (node) => `${node.status}${node.finished?.n}${node.started.cut ? "c" : ""}${node.finished?.cut ? "c" : ""}${node.replies.map((r) => (r.cut ? "c" : "r"))}${node.outputs.map((o) => (o.cut ? "c" : "o"))}`;
  const { node } = row;
  const extra = node.kind === "run" ? node.total.calls : node.kind === "cell" ? Math.ceil(node.children.length / 20) : "";
  const below = node.kind === "turn" ? node.children.map(one) : node.child ? one(node.child) : "";
  return `${one(node)}|${extra}|${below}`;
}

const figures = (node) => h("span", { class: "rlm-figures" }, [seconds(node.duration), ...spendings(node)].filter(Boolean).join(" · "));

const replyRemark = (reply) => [reply.model, seconds(reply.duration), reply.finish_reason === "stop" ? "" : reply.finish_reason].filter(Boolean).join(" · ");

/** How many calls went well, how long they took, and which failed. */
function summary(calls) {
  const sum = sumOf(calls);
  const sorted = sum.durations.sort((a, b) => a - b);
  const at = (part) => seconds(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]);
  const failed = calls.filter((node) => node.finished?.error);
  return [
    facts([
      ["calls", count(calls.length)],
      ["running", sum.running || ""],
      ["failed", sum.failed || ""],
      ["took", Number.isFinite(sum.start) ? seconds(sum.end - sum.start) : ""],
      ["each", sorted.length > 1 ? `${at(0)} – median ${at(0.5)} – ${at(1)}` : ""],
      ["tokens", sum.tokens ? count(sum.tokens) : ""],
      ["cost", dollars(sum.cost, sum.partial && sum.cost !== null)],
    ]),
    failed.length > 0 && h("div", { class: "rlm-scroll" }, grid(["failed", "why"], failed.slice(0, 10).map((node) => [wordsOf(node).text, node.finished.error]))),
  ];
}

export const contentText = (content) => (typeof content === "string" ? content : Array.isArray(content) ? content.map((part) => part?.text ?? `[${part?.type ?? "?"}]`).join("\n") : JSON.stringify(content));

const messagesText = (messages) => messages.map((message) => `${message.role}:\n${contentText(message.content)}`).join("\n\n");

export const outputText = (cell) =>
  cell.outputs.map(({ output: made }) => (made.output_type === "error" ? `${made.ename}: ${made.evalue}\n` : (made.text ?? made.data?.["text/plain"] ?? ""))).flat().join("");

export function limitsText(limits) {
  const { max_budget: budget, max_tokens: most, max_timeout: time } = limits ?? {};
  return [budget && dollars(budget), most && `${count(most)} tokens`, time && seconds(time)].filter(Boolean).join(" · ");
}
