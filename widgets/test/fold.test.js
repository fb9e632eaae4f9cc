// The fold: from events a tree with its figures, whatever is missing of a run that was cut off.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tree, firstWords, messagesOf, replyOf, runOf, variableChanges } from "../src/fold.js";

/** A tree that was told events, each with the next second as its time. */
function told(...events) {
  const tree = new Tree();
  events.forEach((event, i) => tree.add({ time: 100 + i, ...event }, i));
  return tree;
}

const usage = (input, output, cost = null) => ({ input_tokens: input, output_tokens: output, cost });
const run = (id, parent = null) => ({ type: "run_started", id, parent_id: parent, model: "big", config: {}, context: {} });
const turn = (id, parent, values = {}) => ({ type: "turn_started", id, parent_id: parent, number: 1, of: 9, kept: 0, messages: [], ...values });
const reply = (id, values = {}) => ({ type: "model_reply", id, model: "big", text: "Look.", usage: usage(100, 10, 0.5), duration: 1, ...values });
const cell = (id, parent) => ({ type: "cell_started", id, parent_id: parent, number: 1, code: "x = 1" });
const cellEnd = (id, values = {}) => ({ type: "cell_finished", id, status: "ok", variables: {}, duration: 1, ...values });
const call = (id, parent, kind = "llm") => ({ type: "sub_call_started", id, parent_id: parent, kind, model: "small", prompt: "?" });
const callEnd = (id, values = {}) => ({ type: "sub_call_finished", id, error: null, usage: usage(7, 3, 0.25), duration: 1, ...values });
const runEnd = (id, status = "answered") => ({ type: "run_finished", id, status, answer: "42", duration: 9 });

const withChild = () =>
  told(run("r"), turn("t", "r"), reply("t"), cell("c", "t"), call("l", "c"), callEnd("l"), call("q", "c", "rlm"), run("r2", "q"), turn("t2", "r2"), reply("t2"), runEnd("r2"), callEnd("q", { usage: null }), cellEnd("c"), runEnd("r"));

test("every node hangs where its parent is, and a child run on its call", () => {
  const { root, nodes, counts } = withChild();
  assert.equal(root.id, "r");
  assert.deepEqual(nodes.get("c").children.map(({ id }) => id), ["l", "q"]);
  assert.equal(nodes.get("q").child.id, "r2");
  assert.equal(runOf(nodes.get("t2")).id, "r2");
  assert.deepEqual(counts, { turn: 2, cell: 1, call: 2, run: 2, note: 0 });
});

test("what a call took counts for all above it, and as its run's own", () => {
  const { nodes, models } = withChild();
  const tokens = (id, whose) => [nodes.get(id)[whose].input, nodes.get(id)[whose].output, nodes.get(id)[whose].cost];
  assert.deepEqual(tokens("r", "total"), [207, 23, 1.25]);
  assert.deepEqual(tokens("r", "own"), [107, 13, 0.75]);
  assert.deepEqual(tokens("r2", "own"), [100, 10, 0.5]);
  assert.deepEqual(tokens("t", "own"), [100, 10, 0.5]);
  assert.deepEqual(tokens("c", "own"), [0, 0, null]);
  assert.deepEqual(tokens("q", "total"), [100, 10, 0.5]);
  assert.equal(models.get("small").calls, 1);
});

test("without a price a sum is what is known of it, and says so", () => {
  const { root } = told(run("r"), turn("t", "r"), reply("t"), reply("t", { usage: usage(1, 1) }));
  assert.equal(root.total.cost, 0.5);
  assert.equal(root.total.unpriced, 1);
});

test("failures are counted for all above them", () => {
  const tree = told(run("r"), turn("t", "r"), cell("c", "t"), call("l", "c"), callEnd("l", { error: "429", usage: null }), cellEnd("c", { status: "error" }));
  assert.equal(tree.errors, 2);
  assert.deepEqual(["r", "t", "c", "l"].map((id) => tree.nodes.get(id).errors), [2, 2, 2, 1]);
  assert.equal(tree.root.total.calls, 0); // nobody paid for what failed
});

test("what still runs when its tree is over did not finish", () => {
  const tree = told(run("r"), turn("t", "r"), cell("c", "t"));
  assert.equal(tree.finished, false);
  tree.add({ ...runEnd("r", "interrupted"), time: 200 }, 3);
  assert.equal(tree.finished, true);
  assert.deepEqual(["r", "t", "c"].map((id) => tree.nodes.get(id).status), ["interrupted", "unfinished", "unfinished"]);
});

test("events of unknown nodes and of unknown types change nothing", () => {
  const tree = told(run("r"), turn("t", "nowhere"), reply("t"), callEnd("l"), { type: "of_tomorrow", id: "x" }, turn("r", "r"));
  assert.deepEqual([...tree.nodes.keys()], ["r"]);
  assert.equal(tree.root.kind, "run");
});

test("what was cut out of an event is put back where it was", () => {
  const tree = told(run("r"), turn("t", "r"), reply("t", { text: "Lo", cut: { text: 5 } }));
  tree.restore({ ...reply("t"), time: 102 }, 2);
  assert.equal(replyOf(tree.nodes.get("t")).text, "Look.");
  assert.equal(replyOf(tree.nodes.get("t")).cut, undefined);
});

test("a turn's prompt is rebuilt from what each turn kept and added", () => {
  const tree = told(run("r"), turn("a", "r", { messages: ["system", "one"] }), turn("b", "r", { kept: 2, messages: ["two"] }), turn("c", "r", { kept: 1, messages: ["short"] }));
  assert.deepEqual(messagesOf(tree.nodes.get("b")), ["system", "one", "two"]);
  assert.deepEqual(messagesOf(tree.nodes.get("c")), ["system", "short"]);
});

test("a compaction's summary is not the reply to a turn", () => {
  const tree = told(run("r"), turn("t", "r"), reply("t", { text: "Answer." }), reply("t", { text: "Summary.", purpose: "compaction" }));
  assert.equal(replyOf(tree.nodes.get("t")).text, "Answer.");
});

test("variables are compared with those after the cell before", () => {
  const value = (preview) => ({ type: "int", preview });
  const tree = told(run("r"), turn("t", "r"), cell("a", "t"), cellEnd("a", { variables: { x: value("1"), y: value("1"), z: value("1") } }), turn("u", "r"), cell("b", "u"), cellEnd("b", { variables: { x: value("1"), y: value("2"), w: value("3") } }));
  const changes = variableChanges(tree.nodes.get("b"));
  assert.deepEqual(changes.map(({ name, change }) => [name, change]), [["y", "changed"], ["w", "new"], ["z", "gone"]]);
});

test("the first words of a reply are those outside its code", () => {
  assert.equal(firstWords("## I **look**\n````repl\n```\nx\n```\n````\nDone."), "I look\nDone.");
});
