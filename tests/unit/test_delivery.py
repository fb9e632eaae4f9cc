"""Events reach their readers, and no reader reaches the run."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING

import pytest
from story import Story, a_whole_story

from rlm.logger import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm.events import Event

EVENTS = a_whole_story().events


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


def tell(delivery: Delivery, events: list[Event]) -> None:
    for event in events:
        delivery.emit(event)


def test_every_reader_hears_everything_in_order_on_one_thread_of_its_own() -> None:
    readers = [Notebook(), Notebook()]
    delivery = Delivery(readers)
    tell(delivery, EVENTS)
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
    tell(delivery, EVENTS)
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
    tell(delivery, EVENTS)
    delivery.close()


def test_a_reader_that_raises_is_reported_once_and_goes_on_receiving(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty, fine = Faulty(), Notebook()
    delivery = Delivery([faulty, fine])
    tell(delivery, EVENTS)
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
        assert delivery._lanes[1].flush(None)
    assert fine.heard == EVENTS
    assert not delivery.flush(0.01)
    slow.open.set()
    delivery.close()
    assert slow.heard == EVENTS[:10]
    (record,) = caplog.records
    assert "Gate is too slow: 10 events wait" in record.message


def test_after_it_caught_up_a_slow_reader_hears_again() -> None:
    slow = Gate()
    delivery = Delivery([slow], queue_limit=10)
    tell(delivery, EVENTS)
    slow.open.set()
    assert delivery.flush()
    delivery.emit(EVENTS[-1])
    delivery.close()
    assert slow.heard == [*EVENTS[:10], EVENTS[-1]]


def test_a_reader_that_hangs_cannot_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    hanging = Gate()
    delivery = Delivery([], owned=[hanging])
    tell(delivery, EVENTS)
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


def test_runs_that_share_a_reader_call_it_from_one_thread_each_in_its_order() -> None:
    shared = Notebook()
    stories = [a_whole_story(f"run{number}").events for number in range(8)]

    def run(events: list[Event]) -> None:
        delivery = Delivery([shared])
        tell(delivery, events)
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


def test_a_reader_given_twice_hears_once() -> None:
    reader = Notebook()
    delivery = Delivery([reader, reader], owned=[reader])
    tell(delivery, EVENTS[:1])
    delivery.close()
    assert reader.heard == EVENTS[:1]
    assert reader.closed == 1


def test_a_reader_can_be_delivered_to_again_after_a_close() -> None:
    reader = Notebook()
    for _ in range(3):
        delivery = Delivery([reader])
        tell(delivery, EVENTS)
        delivery.close()
    assert reader.heard == EVENTS * 3


def test_flush_waits_for_what_was_told_before_it_not_for_what_comes_after() -> None:
    reader = Notebook()
    delivery = Delivery([reader])
    stop = threading.Event()
    story = Story()
    with story.run(), story.turn(), story.cell():
        pass

    def go_on() -> None:
        while not stop.is_set():
            delivery.emit(story.events[0])

    chatter = threading.Thread(target=go_on)
    chatter.start()
    try:
        assert delivery.flush(60)
    finally:
        stop.set()
        chatter.join()
    delivery.close(None)


def test_collecting_a_delivery_amid_the_making_of_another_never_waits() -> None:
    """Garbage is collected wherever something is allocated, also under a lock."""
    code = (
        "import gc, faulthandler; faulthandler.dump_traceback_later(60, exit=True)\n"
        "from rlm.logger import Delivery\n"
        "from rlm.events import CallUsage\n"
        "class Reader:\n"
        "    heard = []\n"
        "    def on_event(self, event): self.heard.append(event)\n"
        "event = CallUsage()  # any object\n"
        "for threshold in range(1, 150):\n"
        "    gc.set_threshold(threshold, 2, 2)\n"
        "    delivery = Delivery([Reader()])\n"
        "    delivery.itself = delivery\n"
        "    delivery.emit(event)\n"
        "last = Delivery([Reader()])\n"
        "last.emit(event)\n"
        "assert last.flush(None)\n"
        "del delivery\n"
        "gc.collect()\n"
        "last.close(None)\n"
        "import threading\n"
        "for thread in threading.enumerate():\n"
        "    if thread.name.startswith('rlm-reader'): thread.join()\n"
        "print(len(Reader.heard))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("150\n", "")


def test_a_forgotten_delivery_brings_its_last_events_and_ends_its_threads() -> None:
    slow = Gate()
    delivery = Delivery([slow])
    tell(delivery, EVENTS)
    assert slow.arrived.wait(10)
    (thread,) = (t for t in threading.enumerate() if t.name == "rlm-reader-Gate")
    del delivery
    gc.collect()
    slow.open.set()
    thread.join()
    assert slow.heard == EVENTS


def test_a_delivery_that_is_forgotten_while_its_threads_start_ends_them(
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


def test_no_thread_keeps_a_reader_alive_that_has_nothing_to_hear() -> None:
    reader = Notebook()
    gone = weakref.ref(reader)
    delivery = Delivery([reader])
    tell(delivery, EVENTS)
    assert delivery.flush()
    del reader, delivery
    gc.collect()
    assert gone() is None


def test_a_forked_child_is_delivered_to_by_threads_of_its_own() -> None:
    code = (
        "import os, sys, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)  # of forking with threads\n"
        "from rlm.logger import Delivery\n"
        "from rlm.events import CallUsage\n"
        "class Reader:\n"
        "    heard = 0\n"
        "    def on_event(self, event): self.heard += 1\n"
        "event = CallUsage()  # any object\n"
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
