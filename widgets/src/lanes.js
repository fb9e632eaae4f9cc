// Places each node in the timeline: x is its time, y its lane. Nodes that ran at once are in
// different lanes, so the height of a stack is its concurrency.

/** The lanes of a tree, from the top: each a list of nodes, one after another in time. */
export function lanesOf(tree) {
  const lanes = [];
  if (tree?.root) place(tree.root, 0, lanes);
  return lanes;
}

/** Place a node and all below it, starting at a lane; return how many lanes they take. */
function place(node, lane, lanes) {
  (lanes[lane] ??= []).push(node);
  const below = node.children.flatMap((child) => (child.kind === "run" ? child.children : child.kind === "note" ? [] : [child]));
  if (!below.length) return 1;
  const ends = new Ends();
  let height = 1;
  for (const child of below) {
    // A node with children goes below all that still runs: its height is not known yet.
    const offset = child.children.length ? ends.belowAll(child.start) : ends.firstFree(child.start);
    const taken = place(child, lane + 1 + offset, lanes);
    for (let i = offset; i < offset + taken; i++) ends.take(i, child.end ?? Infinity);
    height = Math.max(height, 1 + offset + taken);
  }
  return height;
}

/**
 * When each lane is free again: a tree over the lanes that holds the least and the greatest end
 * of each half, because 10,000 concurrent calls search 10,000 lanes.
 */
class Ends {
  #lanes = 1;
  #least = [0, 0];
  #greatest = [0, 0];

  /** The first lane that is free at a time. */
  firstFree(time) {
    if (this.#least[1] > time) return this.#lanes;
    let at = 1;
    while (at < this.#lanes) at = this.#least[2 * at] <= time ? 2 * at : 2 * at + 1;
    return at - this.#lanes;
  }

  /** The first lane from which on all are free at a time. */
  belowAll(time) {
    if (this.#greatest[1] <= time) return 0;
    let at = 1;
    while (at < this.#lanes) at = this.#greatest[2 * at + 1] > time ? 2 * at + 1 : 2 * at;
    return at - this.#lanes + 1;
  }

  take(lane, end) {
    while (lane >= this.#lanes) this.#grow();
    let at = this.#lanes + lane;
    this.#least[at] = this.#greatest[at] = Math.max(this.#greatest[at], end);
    while ((at >>= 1)) {
      this.#least[at] = Math.min(this.#least[2 * at], this.#least[2 * at + 1]);
      this.#greatest[at] = Math.max(this.#greatest[2 * at], this.#greatest[2 * at + 1]);
    }
  }

  /** Twice as many lanes: the old ones become the left half. */
  #grow() {
    const before = this.#greatest.slice(this.#lanes);
    this.#lanes *= 2;
    this.#least = new Array(2 * this.#lanes).fill(0);
    this.#greatest = new Array(2 * this.#lanes).fill(0);
    before.forEach((end, lane) => end && this.take(lane, end));
  }
}
