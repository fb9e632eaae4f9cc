// The trees that one widget model has received from its kernel so far.
//
// Batches come as state, in a ring of traits: a front end that is still loading gets state later,
// while it would lose a message. Each batch carries the number of its first event. After a gap, or
// when the page was opened again, the store asks the kernel to send events again from a number on.
// While the kernel is busy with a cell it cannot answer, and the store keeps what arrives.
import { Tree } from "./fold.js";

const SLOTS = 16;
const WAITING = 64;
const ASK_AGAIN = 3000;
const UNHEARD = 1500;

class Track {
  constructor(epoch) {
    this.epoch = epoch;
    this.tree = new Tree();
    this.next = 0;
    this.total = 0;
    this.cut = new Set();
    this.waiting = new Map();
  }
}

export class Store extends EventTarget {
  constructor(model) {
    super();
    this.model = model;
    this.tracks = new Map();
    this.clock = null;
    this.stopping = false;
    this.heard = false;
    this.unheard = false;
    this.asked = 0;
    this.changed = false;
    this.bodies = new Map();
    const batches = [];
    for (let i = 0; i < SLOTS; i++) {
      const name = `_slot_${i}`;
      model.on(`change:${name}`, () => this.#read(model.get(name)));
      if (model.get(name)) batches.push(model.get(name));
    }
    model.on("msg:custom", (message) => this.#message(message));
    model.on("change:_stoppable", () => this.#tell());
    batches.map((text) => JSON.parse(text)).sort((a, b) => a.first - b.first).forEach((batch) => this.#take(batch));
    this.hello();
  }

  /** The tree of a track: 0 is the run, 1 the one it is compared with. */
  tree(track = 0) {
    return this.tracks.get(track)?.tree ?? null;
  }

  get stoppable() {
    return Boolean(this.model.get("_stoppable")) && !this.tree()?.finished;
  }

  /** Seconds since the epoch by the kernel's clock. */
  now() {
    const tree = this.tree();
    if (!tree || tree.finished || this.clock === null) return tree?.lastTime ?? 0;
    return Math.max(tree.lastTime, Date.now() / 1000 + this.clock);
  }

  /** The share of the kernel's events that have arrived, from 0 to 1. */
  get progress() {
    let here = 0;
    let all = 0;
    for (const track of this.tracks.values()) {
      here += track.next;
      all += Math.max(track.total, track.next);
    }
    return all ? here / all : 0;
  }

  /** Tell the kernel from which event on to send. */
  hello() {
    const from = {};
    for (const [id, track] of this.tracks) from[id] = { epoch: track.epoch, next: track.next };
    this.asked = Date.now();
    this.send({ kind: "hello", from });
  }

  stop() {
    this.stopping = true;
    this.send({ kind: "stop" });
    this.#tell();
    // A kernel that is busy with a cell gets the message when the cell is over.
    setTimeout(() => {
      this.unheard = this.stopping && !this.heard;
      this.#tell();
    }, UNHEARD);
  }

  /** Request the whole of an event that was sent shortened; the page shows it when it comes. */
  load(track, number) {
    const key = `${track}:${number}`;
    if (this.bodies.has(key)) return;
    this.bodies.set(key, "asked");
    this.send({ kind: "load", track, number });
  }

  /** Whether the whole of an event has been asked for. */
  isLoading(track, number) {
    return this.bodies.has(`${track}:${number}`);
  }

  /** Also search the text that only the kernel has; `found` messages return ids of nodes. */
  search(track, text) {
    if (this.tracks.get(track)?.cut.size) this.send({ kind: "search", track, text });
  }

  send(message) {
    this.model.send(message);
  }

  #read(text) {
    if (text) this.#take(JSON.parse(text));
  }

  #take(batch) {
    let track = this.tracks.get(batch.track);
    if (!track || track.epoch < batch.epoch) {
      track = new Track(batch.epoch);
      this.tracks.set(batch.track, track);
      this.stopping = this.heard = this.unheard = false;
    }
    if (track.epoch > batch.epoch) return;
    track.total = Math.max(track.total, batch.total);
    if (batch.first > track.next) {
      if (track.waiting.size < WAITING) track.waiting.set(batch.first, batch);
      if (Date.now() - this.asked > ASK_AGAIN || track.waiting.size === 1) this.hello();
      return;
    }
    this.#fold(track, batch);
    for (const [first, waiting] of [...track.waiting].sort(([a], [b]) => a - b)) {
      if (first > track.next) break;
      track.waiting.delete(first);
      this.#fold(track, waiting);
    }
    this.#tell();
  }

  #fold(track, batch) {
    const { tree } = track;
    batch.events.slice(track.next - batch.first).forEach((event) => {
      if (event.cut) track.cut.add(track.next);
      tree.add(event, track.next++);
    });
    if (batch.now !== undefined) {
      const offset = batch.now - Date.now() / 1000;
      this.clock = this.clock === null ? offset : Math.max(this.clock, offset);
    }
  }

  #message(message) {
    if (message.kind === "body") {
      const track = this.tracks.get(message.track);
      this.bodies.delete(`${message.track}:${message.number}`);
      if (!track || track.epoch !== message.epoch) return;
      track.cut.delete(message.number);
      track.tree.restore(JSON.parse(message.event), message.number);
      this.dispatchEvent(new CustomEvent("body", { detail: message }));
      this.#tell();
    } else if (message.kind === "stopping") {
      this.heard = true;
      this.unheard = false;
      this.#tell();
    } else if (message.kind === "found") {
      this.dispatchEvent(new CustomEvent("found", { detail: message }));
    }
  }

  /** Notify the views, at most once per frame. */
  #tell() {
    if (this.changed) return;
    this.changed = true;
    const tell = () => {
      this.changed = false;
      this.dispatchEvent(new Event("change"));
    };
    // A hidden page draws no frames, but its views must not fall behind for ever.
    if (document.hidden) setTimeout(tell, 100);
    else requestAnimationFrame(tell);
  }
}
