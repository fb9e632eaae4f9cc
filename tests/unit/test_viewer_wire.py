"""What travels to the viewer: numbered batches, long bodies cut, nothing twice and nothing lost."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from story import Story, a_whole_story, stdout

from rlm.events import CellOutput, Event, SubCallFinished
from rlm.render import STATIC
from rlm.trajectory import Trajectory
from rlm_ipython.viewer.feed import MANY, Feed
from rlm_ipython.viewer.messages import BODY, BRIEF, encode_event
from rlm_ipython.viewer.throttle import BatchSender

ROOT = Path(__file__).parents[2]


def batches(feed: Feed) -> list[dict[str, Any]]:
    found = []
    while (batch := feed.batch()) is not None:
        found.append(json.loads(batch))
    return found


def said(*texts: str) -> Trajectory:
    story = Story()
    with story.run(), story.turn(), story.cell("print()", *map(stdout, texts)):
        pass
    return Trajectory.from_events(story.events)


def output_of(trajectory: Trajectory) -> Event:
    return next(e for e in trajectory.events if isinstance(e, CellOutput))


def test_batches_are_numbered_without_a_gap() -> None:
    feed = Feed(Trajectory.from_events(a_whole_story().events))
    position = 0
    for batch in batches(feed):
        assert batch["first"] == position
        position += len(batch["events"])
    assert position == len(feed.trajectory.events)
    assert feed.batch() is None


def test_what_came_since_is_the_next_batch() -> None:
    story = a_whole_story()
    feed = Feed(Trajectory.from_events(story.events[:5]))
    assert [batch["first"] for batch in batches(feed)] == [0]
    for event in story.events[5:]:
        feed.trajectory.add(event)
    assert [batch["first"] for batch in batches(feed)] == [5]


def test_a_front_end_that_missed_something_gets_it_again() -> None:
    feed = Feed(Trajectory.from_events(a_whole_story().events))
    batches(feed)
    feed.rewind(feed.epoch, 7)
    [batch] = batches(feed)
    assert batch["first"] == 7
    feed.rewind(feed.epoch, 10_000)
    assert batches(feed) == []


def test_a_newer_tree_replaces_the_one_shown() -> None:
    feed = Feed(Trajectory())
    for name in ("first", "second"):
        for event in a_whole_story(name).events:
            feed.fold(event)
    assert feed.trajectory.root is not None
    assert feed.trajectory.root.started.id == "second-1"
    [batch] = batches(feed)
    assert (batch["epoch"], batch["first"]) == (2, 0)
    feed.rewind(1, 30)  # said of the first tree
    assert feed.next == 0


class Slow(dict[str, Any]):
    """An output that takes its time to be written out: as long as the gate is shut."""

    def __init__(self) -> None:
        super().__init__(output_type="stream", name="stdout", text="slow")
        self.reached, self.gate = threading.Event(), threading.Event()

    def items(self) -> Any:
        self.reached.set()
        self.gate.wait(30)
        return super().items()


@pytest.mark.parametrize("what", ["a page is opened anew", "a newer tree begins"])
def test_events_that_arrive_while_a_batch_is_written_are_not_lost(what: str) -> None:
    slow = Slow()
    story = Story()
    with story.run(), story.turn(), story.cell("print()", slow):
        pass
    newer = a_whole_story("newer").events
    feed = Feed(Trajectory())
    for event in story.events:
        feed.fold(event)

    def come() -> None:
        if what == "a page is opened anew":
            feed.rewind(feed.epoch, 0)
        else:
            feed.fold(newer[0])

    told: list[dict[str, Any]] = []
    writer = threading.Thread(target=lambda: told.append(json.loads(feed.batch() or "")))
    other = threading.Thread(target=come)
    writer.start()
    assert slow.reached.wait(30)
    other.start()
    other.join(0.2)  # it waits for the batch; were it not to, it would be over
    slow.gate.set()
    writer.join()
    other.join()
    told += batches(feed)
    first, second = told
    assert (first["epoch"], first["first"], len(first["events"])) == (1, 0, len(story.events))
    expected = (1, len(story.events)) if what == "a page is opened anew" else (2, 1)
    assert (second["epoch"], second["first"]) == (expected[0], 0)
    assert len(second["events"]) == expected[1]


def test_a_body_up_to_its_limit_travels_whole() -> None:
    event = output_of(said("x" * (BODY - 100)))
    data = json.loads(encode_event(event, BODY))
    assert len(data["output"]["text"]) == BODY - 100
    assert "cut" not in data


def test_a_longer_body_is_cut_and_its_size_told() -> None:
    trajectory = said("x" * 1_000_000)
    data = json.loads(encode_event(output_of(trajectory), BODY))
    assert len(data["output"]["text"]) < BODY
    assert data["cut"]["output"] > 1_000_000
    assert data["whole"] is False
    number = trajectory.events.index(output_of(trajectory))
    whole = json.loads(Feed(trajectory).whole(number) or "")
    assert len(whole["output"]["text"]) == 1_000_000
    assert "cut" not in whole


def test_no_more_than_two_megabytes_are_sent_of_anything() -> None:
    trajectory = said("x" * 5_000_000)
    number = trajectory.events.index(output_of(trajectory))
    whole = json.loads(Feed(trajectory).whole(number) or "")
    assert len(whole["output"]["text"]) < 2_000_001
    assert whole["whole"] is True


def test_a_malformed_event_is_not_sent() -> None:
    feed = Feed(said("x"))
    assert feed.whole(-1) is None
    assert feed.whole(1000) is None


def test_bodies_are_brief_where_many_wait() -> None:
    story = Story()
    with story.run(), story.turn(), story.cell():
        for number in range(MANY):
            with story.call("p" * 5000, f"r{number}" + "r" * 5000):
                pass
    feed = Feed(Trajectory.from_events(story.events))
    texts = [feed.batch() or "" for _ in range(2)]
    [call, *_] = [e for e in json.loads(texts[0])["events"] if e["type"] == "sub_call_started"]
    assert call["cut"]["prompt"] == 5000
    assert len(call["prompt"]) == BRIEF


def test_a_search_finds_what_did_not_travel() -> None:
    trajectory = said("x" * 50_000 + " Needle")
    feed = Feed(trajectory)
    assert trajectory.root is not None
    [cell] = trajectory.root.cells
    assert feed.search("needle") == [cell.started.id]
    assert feed.search("haystack") == []


def test_values_that_json_lacks_are_still_sent() -> None:
    story = Story()
    with story.run(), story.turn(), story.cell(), story.call("p", float("nan"), kind="tool"):
        pass
    event = next(e for e in story.events if isinstance(e, SubCallFinished))

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads(encode_event(event, BODY), parse_constant=refuse)["response"] == "nan"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=40,
)


@given(JSON, st.integers(1, 200))
def test_a_cut_body_is_never_longer_than_its_limit(value: Any, limit: int) -> None:
    story = Story()
    with story.run(), story.turn(), story.cell(), story.call(value):
        pass
    started = next(e for e in story.events if e.type == "sub_call_started")
    data = json.loads(encode_event(started, limit))

    def strings(part: Any) -> int:
        if isinstance(part, str):
            return len(part)
        parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        return sum(map(strings, parts))

    assert strings(data["prompt"]) <= limit
    if "prompt" not in data.get("cut", {}):
        assert data["prompt"] == value


def test_a_batch_sender_sends_everything_in_order_and_stops() -> None:
    waiting = [str(number) for number in range(5)]
    sent: list[str] = []
    over = threading.Event()

    def batch() -> str | None:
        return waiting.pop(0) if waiting else None

    def send(text: str) -> None:
        sent.append(text)
        if len(sent) == 6:
            over.set()

    sender = BatchSender(batch, send, interval=0.001)
    sender.wake()
    waiting.append("5")
    sender.wake()
    assert over.wait(10)
    assert sent == list("012345")
    sender.close()


def test_a_closed_batch_sender_sends_nothing() -> None:
    sent: list[str] = []
    sender = BatchSender(lambda: "x", sent.append, interval=30)
    sender.close()
    sender.wake()
    assert sent == []


@pytest.mark.parametrize("name", ["viewer.js", "viewer.css"])
def test_the_committed_bundle_is_made_from_these_sources(name: str) -> None:
    """`npm run build` in `widgets/` makes it; no Node is needed to see that it is current."""
    sources = ROOT / "widgets" / "src"
    digest = hashlib.sha256()
    for path in sorted(sources.iterdir(), key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update((ROOT / "widgets" / "package-lock.json").read_bytes())
    first, _, built = (STATIC / name).read_bytes().partition(b"\n")
    made_of = f"made by widgets/build.js from sources {digest.hexdigest()}"
    assert first.decode() == f"/* {made_of}, below is {hashlib.sha256(built).hexdigest()} */"


def test_the_bundle_is_small_and_has_no_way_to_html() -> None:
    assert sum(path.stat().st_size for path in STATIC.iterdir()) <= 120 * 1024
    bundle = (STATIC / "viewer.js").read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "href"):
        assert way not in bundle


def test_the_lock_file_names_no_host() -> None:
    assert "http" not in (ROOT / "widgets" / "package-lock.json").read_text()
