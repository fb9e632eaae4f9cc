// What a cell wrote: text with its terminal colours, tables, and PNG or JPEG images. A kernel's
// HTML, SVG and scripts are never put on the page: of an HTML table only the cells' text is read.
import { h } from "./dom.js";
import { block } from "./blocks.js";
import { grid } from "./prose.js";

const IMAGES = { "image/png": /^iVBORw0KGgo/, "image/jpeg": /^\/9j\// };
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const ROWS = 200;
const HTML_LIMIT = 1_000_000;

const joined = (value) => (Array.isArray(value) ? value.join("") : typeof value === "string" ? value : JSON.stringify(value));

/** Return an element for one notebook output. */
export function output({ output: made, cut }) {
  switch (made.output_type) {
    case "stream":
      return h("div", { class: `rlm-output rlm-${made.name === "stderr" ? "stderr" : "stdout"}` }, block(joined(made.text ?? ""), { ansi: true }));
    case "error": {
      const traceback = Array.isArray(made.traceback) && made.traceback.length ? made.traceback.join("\n") : `${made.ename}: ${made.evalue}`;
      return h("div", { class: "rlm-output rlm-failure" }, block(traceback, { ansi: true }));
    }
    default:
      return h("div", { class: "rlm-output" }, bundle(made.data ?? {}, Boolean(cut)));
  }
}

function bundle(data, cut) {
  if (cut && Object.keys(IMAGES).some((type) => type in data)) return h("p", { class: "rlm-quiet" }, "An image.");
  for (const [type, magic] of Object.entries(IMAGES)) {
    const encoded = data[type] && joined(data[type]).replace(/\s/g, "");
    if (encoded && magic.test(encoded) && BASE64.test(encoded)) {
      return h("img", { class: "rlm-image", alt: joined(data["text/plain"] ?? "an image"), src: `data:${type};base64,${encoded}` });
    }
  }
  const table = data["text/html"] && tableOf(joined(data["text/html"]));
  if (table) return table;
  if (data["text/plain"] !== undefined) return block(joined(data["text/plain"]), { ansi: true });
  return h("p", { class: "rlm-quiet" }, `An output of type ${Object.keys(data).join(", ") || "nothing"}, which is not shown.`);
}

/** Read the first table of some HTML, as text; the document that it is parsed into is inert. */
function tableOf(html) {
  if (html.length > HTML_LIMIT || !/<table/i.test(html)) return null;
  const table = new DOMParser().parseFromString(html, "text/html").querySelector("table");
  if (!table) return null;
  const texts = (row) => [...row.cells].map((cell) => cell.textContent.trim());
  const rows = [...table.rows];
  const heads = rows.filter((row) => row.parentElement.tagName === "THEAD").map(texts);
  const body = rows.filter((row) => row.parentElement.tagName !== "THEAD").map(texts);
  if (!body.length) return null;
  const more = body.length > ROWS && h("p", { class: "rlm-quiet" }, `${body.length - ROWS} more rows`);
  return h("div", {}, h("div", { class: "rlm-scroll" }, grid(heads.at(-1) ?? null, body.slice(0, ROWS))), more);
}
