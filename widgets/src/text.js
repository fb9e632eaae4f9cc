// Text from models and kernels is hostile: the reader must see what it really holds.
// Everything is shown through text nodes; this module makes invisible characters visible.

const ANSI =
  /(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?/g;
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
// Bidirectional controls, zero-width and tag characters hide text from people.
const INVISIBLE = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]|[\u{e0000}-\u{e007f}]/gu;
const PLAIN = /^[\n\t -~]*$/;

const escape = (character) => {
  const code = character.codePointAt(0);
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
};

/** Return text without terminal sequences. */
export const withoutAnsi = (text) => text.replace(ANSI, "");

/** Return text without controls, and with invisible characters spelled out. */
export function visible(text) {
  if (PLAIN.test(text)) return text;
  text = text.replace(/\r\n|[\x0b\x0c\x85\u2028\u2029]/g, "\n");
  // A line overwritten after a carriage return shows its last state, as in a terminal.
  if (text.includes("\r")) text = text.split("\n").map((line) => line.replace(/\r+$/, "").split("\r").at(-1)).join("\n");
  return text.replace(CONTROLS, "").replace(INVISIBLE, escape);
}

/** Return the beginning of a text on one line. */
export function oneLine(text, limit = 160) {
  const line = visible(withoutAnsi(String(text ?? "").slice(0, limit * 6))).trim().replace(/\s+/g, " ");
  return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
}

/** Split text at SGR sequences into runs: `{text, classes}`; all other sequences are dropped. */
export function ansiRuns(text) {
  const runs = [];
  let state = {};
  let last = 0;
  const push = (piece) => {
    piece = visible(piece);
    if (piece) runs.push({ text: piece, classes: classesOf(state) });
  };
  for (const match of text.matchAll(ANSI)) {
    push(text.slice(last, match.index));
    last = match.index + match[0].length;
    const sgr = /^(?:\x1b\[|\x9b)([\d;]*)m$/.exec(match[0]);
    if (sgr) state = after(state, sgr[1]);
  }
  push(text.slice(last));
  return runs;
}

function after(state, parameters) {
  state = { ...state };
  const codes = parameters === "" ? [0] : parameters.split(";").map(Number);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) state = {};
    else if (code === 1) state.bold = true;
    else if (code === 2) state.dim = true;
    else if (code === 3) state.italic = true;
    else if (code === 4) state.underline = true;
    else if (code === 22) state.bold = state.dim = false;
    else if (code === 23) state.italic = false;
    else if (code === 24) state.underline = false;
    else if (code >= 30 && code <= 37) state.color = code - 30;
    else if (code >= 90 && code <= 97) state.color = code - 90;
    else if (code === 39) state.color = undefined;
    else if (code === 38 || code === 48) {
      const indexed = codes[i + 1] === 5;
      if (code === 38) state.color = indexed && codes[i + 2] < 16 ? codes[i + 2] % 8 : undefined;
      i += indexed ? 2 : 4;
    }
  }
  return state;
}

function classesOf(state) {
  const classes = ["bold", "dim", "italic", "underline"].filter((name) => state[name]).map((name) => `ansi-${name}`);
  if (state.color !== undefined) classes.push(`ansi-${state.color}`);
  return classes.join(" ");
}
