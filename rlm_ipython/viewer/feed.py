"""What one track of a viewer shows: a tree's events, in numbered batches from any point on."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from rlm.trajectory import Forest, Redaction, Trajectory
from rlm_ipython.viewer.messages import BODY, BRIEF, WHOLE, wire

if TYPE_CHECKING:
    from rlm.events import Event

BATCH = 1_000_000
"""Characters after which a batch is full."""

MANY = 500
"""From so many waiting events on, their bodies travel in brief."""


class Feed:
    """A tree's events, ready to travel; to be told, asked and rewound from any thread.

    Attributes:
        track: 0 for the run that is shown, 1 for one that it is compared with.
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
        # A batch takes a while: what is rewound meanwhile must not be gone on behind.
        self._lock = threading.Lock()
        # What travels may be saved with the notebook, as the state of a widget.
        self._redaction = Redaction()

    @property
    def finished(self) -> bool:
        """Whether the tree is over."""
        root = self.trajectory.root
        return root is not None and root.finished is not None

    def fold(self, event: Event) -> None:
        """Take an event of a tree that nobody else folds; the newest tree is shown.

        Args:
            event: As it was told to a reader.
        """
        with self._lock:
            tree = self._forest.add(event)
            if tree is None or tree is self.trajectory:
                return
            if event.parent_id is None and tree.root is not None and tree.root.started is event:
                self._forest.drop(self.trajectory)
                self.trajectory, self.next = tree, 0
                self.epoch += 1

    def rewind(self, epoch: int, number: int) -> None:
        """Go back to what a front end says that it lacks; never forward, others may listen."""
        with self._lock:
            self.next = min(self.next, number if epoch == self.epoch else 0)

    def batch(self) -> str | None:
        """Return the next events as JSON, and go on behind them; None when there are none."""
        with self._lock:
            return self._batch()

    def _batch(self) -> str | None:
        events = self.trajectory.events
        first, waiting = self.next, events[self.next :]
        if not waiting:
            return None
        limit = BODY if len(waiting) < MANY else BRIEF
        texts: list[str] = []
        size = 0
        for event in waiting:
            texts.append(wire(self._redaction(event), limit))
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
        events = self.trajectory.events
        if not 0 <= number < len(events):
            return None
        return wire(self._redaction(events[number]), WHOLE, asked_for=True)

    def search(self, text: str, limit: int = 5000) -> list[str]:
        """Return the ids of the nodes whose events hold a text, in any case of its letters.

        Args:
            text: What is looked for.
            limit: How many ids to return at most.
        """
        text = text.casefold()
        found: dict[str, None] = {}
        for event in self.trajectory.events:
            if text in wire(self._redaction(event), WHOLE).casefold():
                node = event.parent_id if event.type == "cell_output" else event.id
                found[node or event.id] = None
                if len(found) >= limit:
                    break
        return list(found)
