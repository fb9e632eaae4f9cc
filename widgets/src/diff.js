// Which lines two texts have in common (the longest common subsequence, by dynamic programming).

const LIMIT = 400;

/** Return `[{kind: "same" | "gone" | "new", text}]`; long texts are compared as a whole. */
export function diff(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  if (a.length > LIMIT || b.length > LIMIT) {
    if (before === after) return a.map((text) => ({ kind: "same", text }));
    return [...a.map((text) => ({ kind: "gone", text })), ...b.map((text) => ({ kind: "new", text }))];
  }
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const lines = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) lines.push({ kind: "same", text: a[i++] }), j++;
    else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) lines.push({ kind: "gone", text: a[i++] });
    else lines.push({ kind: "new", text: b[j++] });
  }
  return lines;
}
