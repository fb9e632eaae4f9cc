"""The widget `TrajectoryViewer`, which shows a trajectory, a run, a completion or a saved file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import anywidget
import traitlets as t

from rlm.errors import ArgumentError
from rlm.render import STATIC
from rlm.trajectory import Trajectory, load
from rlm_ipython.viewer.feed import Feed
from rlm_ipython.viewer.throttle import BatchSender

if TYPE_CHECKING:
    from rlm.events import Event

_SLOTS = 16
"""The batches that are kept while the front end loads its code."""


@runtime_checkable
class BackgroundRun(Protocol):
    """A run in the background, such as `RLM.start` returns."""

    @property
    def trajectory(self) -> Trajectory:
        """Its record so far; it grows."""

    def add_reader(self, reader: Any) -> None:
        """Give a reader all events, past and future."""

    def stop(self) -> None:
        """End it."""


class TrajectoryViewer(anywidget.AnyWidget):
    """Shows a run as a tree with a detail pane, a timeline and search; live while it goes on.

    Batches of events are sent as state, in a ring of traits. A front end that is still loading the
    viewer's code gets state later, while it would lose a message, and a kernel that is busy with a
    cell could not send the message again. Each batch is numbered; a front end that has missed some,
    or was opened again, asks for them by number.

    It is also a reader: `RLM(logger=viewer)` shows the newest run of that object.

    ::

        viewer = TrajectoryViewer(completion)
        viewer                                      # in a cell: shows it
        TrajectoryViewer("run.json", compare_with="other.json")
    """

    _esm: ClassVar[Any] = STATIC / "viewer.js"
    _css: ClassVar[Any] = STATIC / "viewer.css"

    height = t.Int(460, help="Pixels that the tree and the detail pane have.").tag(sync=True)
    _stoppable = t.Bool(default_value=False).tag(sync=True)
    _compared = t.Bool(default_value=False).tag(sync=True)

    def __init__(self, source: Any = None, *, compare_with: Any = None, **traits: Any) -> None:
        """Set what is shown; nothing is sent before the widget is displayed or the run goes on.

        Args:
            source: A trajectory, a run, a completion, an error with a trajectory, or the path of
                a saved trajectory. Without one it shows the runs that it reads.
            compare_with: A second source, shown next to the first, turn by turn.
            traits: `height`, in pixels, and the traits that every widget has.

        Raises:
            ArgumentError: There is no trajectory in the source.
            TrajectoryError: The file is no trajectory.
        """
        # This comes first because ipywidgets calls `close` even when the rest fails.
        self._sender = BatchSender(self._next_batch, self._put)
        self._reads = source is None
        self._feeds = [Feed(Trajectory() if source is None else trajectory_of(source))]
        if compare_with is not None:
            self._feeds.append(Feed(trajectory_of(compare_with), track=1))
        self._run = source if isinstance(source, BackgroundRun) else None
        self._numbers = itertools.count()
        self.add_traits(**{f"_slot_{i}": t.Unicode("").tag(sync=True) for i in range(_SLOTS)})
        super().__init__(
            _stoppable=self._run is not None and not self._feeds[0].finished,
            _compared=compare_with is not None,
            **traits,
        )
        self.on_msg(self._heard)
        if self._run is not None:
            self._run.add_reader(self)
            self._sender.wake()

    @property
    def trajectory(self) -> Trajectory:
        """The trajectory that it shows."""
        return self._feeds[0].trajectory

    def on_tree(self, tree: Trajectory) -> None:
        """Use the tree that the `RLM` folds for a run that begins.

        Args:
            tree: The run's record, which grows with the run.
        """
        if self._reads:
            self._feeds[0].share(tree)

    def on_event(self, event: Event) -> None:
        """Show one more event of a run (the reader's interface).

        Args:
            event: Of the run that the viewer shows.
        """
        if self._reads:
            self._feeds[0].fold(event)
        if event.type == "run_finished" and self._feeds[0].finished:
            self._stoppable = False
        self._sender.wake()

    def close(self) -> None:
        """Remove it from the page and stop sending.

        nbclient saves the last state of every widget, even of a closed one, in the notebook's
        metadata, so `close` empties the large traits first.
        """
        self._sender.close()
        if self.comm is not None:
            with self.hold_sync():
                self.set_trait("_esm", "export default {}")
                self.set_trait("_css", "")
                for i in range(_SLOTS):
                    self.set_trait(f"_slot_{i}", "")
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Show it; a front end without widgets gets one line instead."""
        self._sender.wake()
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/plain"] = f"{self._line()} (the live view needs ipywidgets)"
        return bundle

    def _line(self) -> str:
        """Return the run's state in a few words."""
        root = self.trajectory.root
        if root is None:
            return "An RLM run that has not started"
        status = root.finished.status if root.finished else "running"
        return f"RLM run, {status}: {len(root.turns)} turns"

    def _next_batch(self) -> str | None:
        return next((batch for feed in self._feeds if (batch := feed.batch())), None)

    def _put(self, batch: str) -> None:
        setattr(self, f"_slot_{next(self._numbers) % _SLOTS}", batch)

    def _heard(self, _: Any, content: Any, __: Any) -> None:
        """Answer a front end's request; ignore a malformed one."""
        if not isinstance(content, dict):
            return
        match content.get("kind"):
            case "hello":
                self._rewind(content.get("from"))
            case "load":
                self._load(content.get("track"), content.get("number"))
            case "search":
                self._search(content.get("track"), content.get("text"))
            case "stop" if self._run is not None:
                self._run.stop()
                self.send({"kind": "stopping"})
            case _:
                return

    def _feed(self, track: Any) -> Feed | None:
        return next((f for f in self._feeds if type(track) is int and f.track == track), None)

    def _rewind(self, positions: Any) -> None:
        here = positions if isinstance(positions, dict) else {}
        for feed in self._feeds:
            position = here.get(str(feed.track))
            epoch, number = 0, 0
            if isinstance(position, dict):
                epoch, number = position.get("epoch", 0), position.get("next", 0)
            feed.rewind(epoch, number if type(number) is int and number >= 0 else 0)
        self._sender.wake()

    def _load(self, track: Any, number: Any) -> None:
        feed = self._feed(track)
        event = feed.whole(number) if feed is not None and type(number) is int else None
        if feed is not None and event is not None:
            body = {"kind": "body", "track": feed.track, "epoch": feed.epoch, "number": number}
            self.send({**body, "event": event})

    def _search(self, track: Any, text: Any) -> None:
        feed = self._feed(track)
        if feed is not None and isinstance(text, str) and text:
            ids = feed.search(text)
            self.send({"kind": "found", "track": feed.track, "text": text, "ids": ids})


def trajectory_of(source: Any) -> Trajectory:
    """Return a trajectory itself, the `trajectory` of a run, completion or error, or a file's."""
    if isinstance(source, Trajectory):
        return source
    if isinstance(source, str | Path):
        return load(source)
    trajectory = getattr(source, "trajectory", None)
    if isinstance(trajectory, Trajectory):
        return trajectory
    raise ArgumentError(
        "A viewer shows a trajectory, something that has one (a run, a completion, an error), or "
        f"the path of a saved one, not {type(source).__name__}."
    )
