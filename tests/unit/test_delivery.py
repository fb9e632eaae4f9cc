"""Events reach their readers, and no reader reaches the run."""

from __future__ import annotations

import gc
import io
import logging
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.console import Console
from story import Story, a_whole_story, stdout

from rlm import redaction
from rlm.logger import ConsoleReader, Delivery, NotebookLog, OTelReader, RLMLogger
from rlm.logger.delivery import end_threads
from rlm.redaction import Redaction, redacted_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rlm.events import Event
    from rlm.trajectory import Trajectory


def events_of_a_run(name: str = "r") -> list[Event]:
    """Return events with nothing to mask: readers receive these same objects."""
    return list(map(redacted_event, a_whole_story(name).events))


EVENTS = events_of_a_run()


class Notebook:
    """A reader that keeps what it hears, and on which threads it hears it."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.threads: set[int] = set()
        self.closed = 0

    def on_event(self, event: Event) -> None:
        self.heard.append(event)
        self.threads.add(threading.get_ident())

    def close(self) -> None:
        self.closed += 1


class Gate(Notebook):
    """A reader that takes its time: as long as the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Event()
        self.open = threading.Event()

    def on_event(self, event: Event) -> None:
        self.arrived.set()
        self.open.wait()
        super().on_event(event)


class Faulty(Notebook):
    """A reader that fails on every event, after having heard it."""

    def on_event(self, event: Event) -> None:
        super().on_event(event)
        raise SystemExit("no disk")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    new = set(threading.enumerate()) - before
    for thread in new:
        thread.join(30)  # it has been told to end, and may not have run since
    assert not any(thread.is_alive() for thread in new)


def emit(delivery: Delivery, events: list[Event]) -> None:
    for event in events:
        delivery.emit(event)


def test_every_reader_gets_every_event_in_order_on_its_thread() -> None:
    readers = [Notebook(), Notebook()]
    delivery = Delivery(readers)
    emit(delivery, EVENTS)
    assert delivery.flush()
    assert [reader.heard for reader in readers] == [EVENTS, EVENTS]
    first, second = (reader.threads for reader in readers)
    assert len(first) == len(second) == 1
    assert not first & second
    assert threading.get_ident() not in first | second
    delivery.close()


def test_no_thread_starts_before_the_first_event() -> None:
    before = threading.active_count()
    delivery = Delivery([Notebook()])
    assert threading.active_count() == before
    assert delivery.flush(0)
    delivery.close()


def test_close_delivers_first_and_closes_only_what_is_owned() -> None:
    users, ours = Notebook(), Notebook()
    delivery = Delivery([users], owned=[ours])
    emit(delivery, EVENTS)
    delivery.close()
    delivery.close()
    assert users.heard == ours.heard == EVENTS
    assert (users.closed, ours.closed) == (0, 1)
    delivery.emit(EVENTS[0])
    assert len(users.heard) == len(EVENTS), "what comes after the end is ignored"


def test_a_reader_needs_no_close() -> None:
    class Bare:
        def on_event(self, event: Event) -> None:
            pass

    delivery = Delivery([], owned=[Bare()])
    emit(delivery, EVENTS)
    delivery.close()


def test_a_reader_that_raises_is_reported_once_and_goes_on_receiving(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty, fine = Faulty(), Notebook()
    delivery = Delivery([faulty, fine])
    emit(delivery, EVENTS)
    delivery.close()
    assert faulty.heard == fine.heard == EVENTS
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("rlm", logging.WARNING)
    assert "reader Faulty failed on a run_started event: SystemExit: no disk" in record.message


def test_a_reader_that_cannot_be_closed_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Sticky(Notebook):
        def close(self) -> None:
            raise OSError("busy")

    Delivery([], owned=[Sticky()]).close()
    assert "Sticky failed to close: OSError: busy" in caplog.text


def test_a_slow_reader_loses_events_and_nobody_else_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow, fine = Gate(), Notebook()
    delivery = Delivery([slow, fine], queue_limit=10)
    for event in EVENTS:
        delivery.emit(event)
        assert delivery.threads[1].flush(None)
    assert fine.heard == EVENTS
    assert not delivery.flush(0.01)
    slow.open.set()
    delivery.close()
    assert slow.heard == EVENTS[:10]
    (record,) = caplog.records
    assert "Gate is too slow: 10 events wait" in record.message


def test_a_slow_reader_gets_events_again_once_it_has_caught_up() -> None:
    slow = Gate()
    delivery = Delivery([slow], queue_limit=10)
    emit(delivery, EVENTS)
    slow.open.set()
    assert delivery.flush()
    delivery.emit(EVENTS[-1])
    delivery.close()
    assert slow.heard == [*EVENTS[:10], EVENTS[-1]]


def test_a_reader_that_hangs_cannot_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    hanging = Gate()
    delivery = Delivery([], owned=[hanging])
    emit(delivery, EVENTS)
    assert hanging.arrived.wait(10)
    delivery.close(timeout=0.01)
    assert hanging.closed == 0
    assert f"Gate did not finish in time; {len(EVENTS) - 1} events" in caplog.text
    (thread,) = (t for t in threading.enumerate() if t.name == "rlm-reader-Gate")
    hanging.open.set()
    thread.join()


def test_a_reader_may_flush_and_close_from_within() -> None:
    class Impatient(Notebook):
        delivery: Delivery

        def on_event(self, event: Event) -> None:
            super().on_event(event)
            assert not self.delivery.flush(), "it cannot wait for itself"
            self.delivery.close()

    reader = Impatient()
    reader.delivery = Delivery([reader])
    reader.delivery.emit(EVENTS[0])
    for thread in threading.enumerate():
        if thread.name == "rlm-reader-Impatient":
            thread.join()
    assert reader.heard == EVENTS[:1]


def test_runs_that_share_a_reader_call_it_one_at_a_time_each_in_its_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Exclusive(Notebook):
        """Fails when it is called while it is being called."""

        def __init__(self) -> None:
            super().__init__()
            self.busy = threading.Lock()

        def on_event(self, event: Event) -> None:
            assert self.busy.acquire(blocking=False)
            time.sleep(0)  # Lets another thread run.
            super().on_event(event)
            self.busy.release()

    shared = Exclusive()
    stories = [events_of_a_run(f"run{number}") for number in range(8)]

    def run(events: list[Event]) -> None:
        delivery = Delivery([shared])
        emit(delivery, events)
        assert delivery.flush()
        assert [e for e in list(shared.heard) if e.id.split("-")[0] == events[0].id[:4]] == events
        release.wait()
        delivery.close()

    release = threading.Barrier(len(stories))
    threads = [threading.Thread(target=run, args=(events,)) for events in stories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shared.heard) == sum(map(len, stories))
    assert shared.closed == 0
    assert caplog.records == []


def test_a_reader_given_twice_gets_each_event_once() -> None:
    reader = Notebook()
    delivery = Delivery([reader, reader], owned=[reader])
    emit(delivery, EVENTS[:1])
    delivery.close()
    assert reader.heard == EVENTS[:1]
    assert reader.closed == 1


def test_a_reader_can_be_delivered_to_again_after_a_close() -> None:
    reader = Notebook()
    for _ in range(3):
        delivery = Delivery([reader])
        emit(delivery, EVENTS)
        delivery.close()
    assert reader.heard == EVENTS * 3


def test_flush_waits_for_earlier_events_only() -> None:
    reader = Notebook()
    delivery = Delivery([reader])
    stop = threading.Event()
    story = Story()
    with story.run(), story.turn(), story.cell():
        pass

    def go_on() -> None:
        while not stop.is_set():
            delivery.emit(story.events[1])

    chatter = threading.Thread(target=go_on)
    chatter.start()
    try:
        assert delivery.flush(60)
    finally:
        stop.set()
        chatter.join()
    delivery.close(None)


def test_an_unreferenced_delivery_whose_threads_are_starting_ends_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Notebook()
    delivery = Delivery([reader])
    start = threading.Thread.start

    def forgotten(thread: threading.Thread) -> None:
        delivery.forget()
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", forgotten)
        delivery.emit(EVENTS[0])
    assert reader.heard == []


def test_no_thread_keeps_an_idle_reader_alive() -> None:
    reader = Notebook()
    gone = weakref.ref(reader)
    delivery = Delivery([reader])
    emit(delivery, EVENTS)
    assert delivery.flush()
    threads = delivery.threads
    del reader, delivery
    gc.collect()
    assert gone() is None
    end_threads(threads)


def test_a_forked_child_delivers_through_new_threads() -> None:
    code = (
        "import os, sys, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)  # of forking with threads\n"
        "from rlm.logger import Delivery\n"
        "from rlm.events import Note\n"
        "class Reader:\n"
        "    heard = 0\n"
        "    def on_event(self, event): self.heard += 1\n"
        "event = Note(id='n', parent_id='r', run_id='r', time=0.0, kind='limit', text='')\n"
        "reader = Reader()\n"
        "delivery = Delivery([reader])\n"
        "delivery.emit(event)\n"
        "assert delivery.flush(None)\n"
        "if pid := os.fork():\n"
        "    sys.exit(os.waitpid(pid, 0)[1])\n"
        "assert delivery.flush(0), 'nothing is left to deliver here'\n"
        "delivery.emit(event)\n"
        "assert delivery.flush(None)\n"
        "delivery.close(None)\n"
        "print(reader.heard, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("2\n", "", 0)


def said(text: str) -> list[Event]:
    story = Story()
    with story.run(question=text), story.turn(text), story.cell("print()", stdout(text)):
        pass
    return story.events


class OurReaders:
    """The package's readers that keep texts, and what they keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = io.StringIO()
        self.spans = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.all: list[RLMLogger | NotebookLog | ConsoleReader | OTelReader] = [
            RLMLogger(folder),
            NotebookLog(folder),
            ConsoleReader(Console(file=self.printed, force_jupyter=False)),
            OTelReader(tracer_provider=provider, content=True),
        ]

    def kept_only_masked_texts(self) -> None:
        for reader in self.all:
            reader.close()
        (log,), (notebook,) = self.folder.glob("*.jsonl"), self.folder.glob("*.ipynb")
        spans = "".join(span.to_json() for span in self.spans.get_finished_spans())
        for kept in (log.read_text(), notebook.read_text(), self.printed.getvalue(), spans):
            assert "my key: ***" in kept
            assert "planted" not in kept


def test_a_secret_is_masked_once_for_all_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "planted-0123456789")
    masked = []

    def counted(event: Event, *rest: Any) -> Event:
        masked.append(event)
        return redacted_event(event, *rest)

    monkeypatch.setattr(redaction, "redacted_event", counted)
    events = said("my key: planted-0123456789")
    readers = [Notebook(), Notebook(), Notebook()]
    delivery = Delivery(readers)
    emit(delivery, events)
    delivery.close()
    for reader in readers:
        assert [(e.type, e.id) for e in reader.heard] == [(e.type, e.id) for e in events]
        assert "planted" not in str(reader.heard)
        assert "my key: ***" in str(reader.heard)
        assert all(one is two for one, two in zip(reader.heard, readers[0].heard, strict=True))
    assert len({id(event) for event in masked}) == len(masked)
    assert "planted" in str(events)


def test_our_readers_mask_what_no_delivery_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = OurReaders(tmp_path)
    monkeypatch.setenv("SOME_API_KEY", "planted-0123456789")  # After the readers were made.
    for event in said("my key: planted-0123456789"):
        for reader in readers.all:
            reader.on_event(event)
    readers.kept_only_masked_texts()


def test_our_readers_mask_no_event_again_that_a_delivery_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Event] = []
    search = Redaction._may_hold_one

    def counted(self: Redaction, event: Event) -> bool:
        searched.append(event)
        return search(self, event)

    monkeypatch.setattr(Redaction, "_may_hold_one", counted)
    readers = OurReaders(tmp_path)
    monkeypatch.setenv("SOME_API_KEY", "planted-0123456789")
    events = said("my key: planted-0123456789")
    delivery = Delivery(readers.all)
    emit(delivery, events)
    delivery.close()
    readers.kept_only_masked_texts()
    assert searched == events


def test_a_reader_that_gives_on_another_event_than_it_was_given_has_it_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = OurReaders(tmp_path)
    monkeypatch.setenv("SOME_API_KEY", "planted-0123456789")

    class Forwarder(Notebook):
        def on_event(self, event: Event) -> None:
            super().on_event(event)
            for reader in readers.all:
                reader.on_event(events[len(self.heard) - 1])

    events = said("my key: planted-0123456789")
    delivery = Delivery([Forwarder()])
    emit(delivery, events)
    delivery.close()
    readers.kept_only_masked_texts()


class Follower(Notebook):
    """A reader that uses the delivery's tree."""

    def __init__(self) -> None:
        super().__init__()
        self.trees: list[Trajectory] = []
        self.behind = 0

    def on_tree(self, tree: Trajectory) -> None:
        self.trees.append(tree)

    def on_event(self, event: Event) -> None:
        super().on_event(event)
        self.behind += event not in self.trees[-1].events


def test_readers_share_one_tree_that_has_what_they_were_given() -> None:
    first, second, plain = Follower(), Follower(), Notebook()
    delivery = Delivery([first, plain, second])
    emit(delivery, EVENTS)
    delivery.close()
    (tree,), (same,) = first.trees, second.trees
    assert tree is same
    assert list(tree.events) == EVENTS == plain.heard
    assert first.behind == second.behind == 0


def test_the_tree_has_what_a_slow_reader_lost() -> None:
    class SlowFollower(Gate, Follower):
        pass

    slow, fine = SlowFollower(), Follower()
    delivery = Delivery([slow, fine], queue_limit=10)
    for event in EVENTS:
        delivery.emit(event)
        assert delivery.threads[1].flush(None)
    slow.open.set()
    delivery.close()
    assert slow.heard == EVENTS[:10]
    assert list(slow.trees[0].events) == fine.heard == EVENTS


def test_an_event_that_cannot_be_masked_reaches_no_reader(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenError(RuntimeError):
        pass

    def refuse(self: Redaction, event: Event) -> Event:
        if event is EVENTS[1]:
            raise BrokenError("no")
        return event

    monkeypatch.setattr(Redaction, "__call__", refuse)
    readers = [Notebook(), Notebook()]
    delivery = Delivery(readers)
    emit(delivery, EVENTS)
    delivery.close()
    assert [reader.heard for reader in readers] == [[EVENTS[0], *EVENTS[2:]]] * 2
    assert [record.message.count("BrokenError: no") for record in caplog.records] == [1, 1]
