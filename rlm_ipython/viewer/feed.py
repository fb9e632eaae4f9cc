"""Sends one tree's events to the viewer in numbered batches, from any event on."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from rlm.trajectory import Forest, Redaction, Trajectory
from rlm_ipython.viewer.messages import BODY, BRIEF, WHOLE, encode_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.events import Event

BATCH = 1_000_000
"""A batch with more characters is full."""

MANY = 500
"""When so many events wait, their bodies are sent shortened."""


class Feed:
    """A tree's events, ready to be sent; any thread may add, read and rewind them.

    Attributes:
        track: 0 for the run that is shown, 1 for the run that it is compared with.
        epoch: Grows when another tree takes this one's place.
        trajectory: The tree.
        next: The number of the event that is sent next.
    """

    def __init__(self, trajectory: Trajectory, track: int = 0) -> None:
        self.track = track
        self.epoch = 0
        self.trajectory = trajectory
        self.next = 0
        self._forest = Forest()
        # Making a batch takes a while: a rewind in between must not be lost.
        self._lock = threading.Lock()
        # Jupyter may save what we send in the notebook, as widget state. A loaded tree may hold
        # secrets, so each event is masked, once.
        self._redaction = Redaction()
        self._masked_events: list[Event] = []

    @property
    def finished(self) -> bool:
        """Whether the tree is over."""
        root = self.trajectory.root
        return root is not None and root.finished is not None

    def share(self, tree: Trajectory) -> None:
        """Use a tree that the `RLM` folds, instead of folding its events again."""
        with self._lock:
            self._forest.share(tree)

    def fold(self, event: Event) -> None:
        """Fold an event, unless its tree is shared; the newest tree is shown."""
        with self._lock:
            tree = self._forest.add(event)
            if tree is None or tree is self.trajectory:
                return
            if event.parent_id is None and tree.root is not None and tree.root.started is event:
                self._forest.drop(self.trajectory)
                self.trajectory, self.next = tree, 0
                self._masked_events = []
                self.epoch += 1

    def rewind(self, epoch: int, number: int) -> None:
        """Go back to the first event that a front end lacks, never forward: others may listen."""
        with self._lock:
            self.next = min(self.next, number if epoch == self.epoch else 0)

    def batch(self) -> str | None:
        """Return the next events as JSON and move on past them; None when there are none."""
        with self._lock:
            return self._batch()

    def _batch(self) -> str | None:
        events = self.trajectory.events
        first = self.next
        if first >= len(events):
            return None
        limit = BODY if len(events) - first < MANY else BRIEF
        texts: list[str] = []
        size = 0
        for number in range(first, len(events)):
            texts.append(encode_event(self._masked(events, number), limit))
            size += len(texts[-1])
            if size > BATCH:
                break
        self.next = first + len(texts)
        head: dict[str, Any] = {
            "track": self.track,
            "epoch": self.epoch,
            "first": first,
            "total": len(events),
        }
        if not self.finished:
            head["now"] = time.time()
        return f'{json.dumps(head)[:-1]}, "events": [{", ".join(texts)}]}}'

    def whole(self, number: int) -> str | None:
        """Return all of one event as JSON; None when there is no such event."""
        with self._lock:
            events = self.trajectory.events
            if not 0 <= number < len(events):
                return None
            event = self._masked(events, number)
        return encode_event(event, WHOLE, asked_for=True)

    def search(self, text: str, limit: int = 5000) -> list[str]:
        """Return the ids of the nodes whose events hold a text, upper or lower case."""
        text = text.casefold()
        found: dict[str, None] = {}
        with self._lock:
            events = self.trajectory.events
            masked = [self._masked(events, number) for number in range(len(events))]
        for event in masked:
            if text in encode_event(event, WHOLE).casefold():
                node = event.parent_id if event.type == "cell_output" else event.id
                found[node or event.id] = None
                if len(found) >= limit:
                    break
        return list(found)

    def _masked(self, events: Sequence[Event], number: int) -> Event:
        """Return an event of the tree with its secrets masked, with the lock held."""
        for event in events[len(self._masked_events) : number + 1]:
            self._masked_events.append(self._redaction(event))
        return self._masked_events[number]
