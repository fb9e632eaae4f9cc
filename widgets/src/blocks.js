// The building blocks of the detail pane: sections with a copy button, long texts in parts.
import { h, add, button, fill, icon } from "./dom.js";
import { python } from "./highlight.js";
import { size } from "./format.js";
import { ansiRuns, visible } from "./text.js";

const PART = 20_000;

/** Text in a frame: the first 20,000 characters, and a button for more. */
export function block(text, { ansi = false, code = false } = {}) {
  text = String(text);
  const pre = h("pre", { class: `rlm-pre${code ? " rlm-code" : " rlm-wrap"}`, tabindex: "-1" });
  const more = h("div", { class: "rlm-more" });
  const show = (length) => {
    const part = text.slice(0, length);
    fill(pre, code ? python(part) : ansi ? ansiRuns(part).map((run) => (run.classes ? h("span", { class: run.classes }, run.text) : run.text)) : visible(part));
    const left = text.length - length;
    fill(more, left > 0 && [
      h("span", {}, `${size(left)} more`),
      button("Show more", () => show(length + PART * 4)),
    ]);
  };
  show(PART);
  return text.length > PART ? h("div", {}, pre, more) : pre;
}

/** A titled part of the pane; `copy` is the text that its button copies. */
export function section(title, { copy, open = true, remark } = {}, ...children) {
  const summary = h("summary", {}, icon("chevron"), h("span", { class: "rlm-title" }, title), remark && h("span", { class: "rlm-remark" }, remark));
  if (copy !== undefined) summary.append(copyButton(copy));
  return add(h("details", { class: "rlm-section", open }, summary), children);
}

/** A button that copies a text (or what a function returns) and says so. */
export function copyButton(text) {
  const made = button([icon("copy")], async (event) => {
    event.preventDefault();
    event.stopPropagation();
    const copied = await copy(typeof text === "function" ? text() : text);
    fill(made, icon(copied ? "check" : "cross"));
    made.setAttribute("aria-label", copied ? "Copied" : "Could not copy");
    setTimeout(() => {
      fill(made, icon("copy"));
      made.setAttribute("aria-label", "Copy");
    }, 1200);
  }, { class: "rlm-button rlm-copy", "aria-label": "Copy", title: "Copy" });
  return made;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure context only the deprecated command can copy.
    const area = h("textarea", { class: "rlm-clip" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** A list of names and values, without the empty values. */
export function facts(entries) {
  const shown = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return h("dl", { class: "rlm-facts" }, shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value instanceof Node ? value : visible(String(value)))]));
}
