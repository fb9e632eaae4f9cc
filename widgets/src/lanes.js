// Where each node stands in the timeline: x is its time, y its lane. What ran at once stands
// in lanes of its own, so the height of a stack is its concurrency.

/** The place of every node: `{node, from, to, lane}`, and how many lanes there are. */
export function lanesOf(tree, now) {
  const bars = [];
  if (!tree?.root) return { bars, lanes: 0 };
  const lanes = place(tree.root, 0, now, bars);
  return { bars, lanes };
}

/** Place a node and all below it from a lane on; return how many lanes they take. */
function place(node, lane, now, bars) {
  const to = node.end ?? Math.max(now, node.start);
  bars.push({ node, from: node.start, to, lane });
  const below = node.children.flatMap((child) => (child.kind === "run" ? child.children : child.kind === "note" ? [] : [child]));
  if (!below.length) return 1;
  const ends = [];
  let height = 1;
  for (const child of below) {
    const deep = child.children.length > 0;
    let offset = 0;
    if (deep) {
      // Its own height is not known before it is placed: it goes below all that still runs.
      for (let i = 0; i < ends.length; i++) if (ends[i] > child.start) offset = i + 1;
    } else {
      while (offset < ends.length && ends[offset] > child.start) offset++;
    }
    const taken = place(child, lane + 1 + offset, now, bars);
    const end = child.end ?? Infinity;
    for (let i = offset; i < offset + taken; i++) ends[i] = Math.max(ends[i] ?? 0, end);
    height = Math.max(height, 1 + offset + taken);
  }
  return height;
}
