"""The widget: `TrajectoryViewer(trajectory, run, completion or path)`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets as t

from rlm.render import STATIC
from rlm.trajectory import Trajectory
from rlm_ipython.viewer.feed import Feed
from rlm_ipython.viewer.source import LiveRun, trajectory_of
from rlm_ipython.viewer.throttle import Pump

if TYPE_CHECKING:
    from rlm.events import Event

_SLOTS = 16
"""How many batches the front end can miss while it loads its code."""


class TrajectoryViewer(anywidget.AnyWidget):
    """Shows a run as a tree with a detail pane, a timeline and search; live while it goes on.

    Batches of events travel as state, in a ring of traits: state waits for a front end that is
    still loading the viewer's code, while a message would be lost, and in a blocking cell there
    is no asking again. Each batch is numbered; a front end that has missed some, or was opened
    anew, says from where on it wants them.

    It is also a reader: `RLM(logger=viewer)` shows every run of that object, the newest one.

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
        """Take what is to be shown; nothing travels before it is displayed or goes on.

        Args:
            source: A trajectory, a run, a completion, an error with a trajectory, or the path of
                a saved trajectory. Without one it waits for what it is told as a reader.
            compare_with: A second one, to be shown beside it, turn by turn.
            traits: `height`, in pixels, and what every widget takes.

        Raises:
            ArgumentError: There is no trajectory in the source.
            TrajectoryError: The file is no trajectory.
        """
        self._pump = Pump(self._next_batch, self._put)  # first: `close` is called in any case
        self._reads = source is None
        self._feeds = [Feed(Trajectory() if source is None else trajectory_of(source))]
        if compare_with is not None:
            self._feeds.append(Feed(trajectory_of(compare_with), track=1))
        self._run = source if isinstance(source, LiveRun) else None
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
            self._pump.wake()

    @property
    def trajectory(self) -> Trajectory:
        """What it shows."""
        return self._feeds[0].trajectory

    def on_event(self, event: Event) -> None:
        """Take one event of a run that goes on, as a reader.

        Args:
            event: What happened.
        """
        if self._reads:
            self._feeds[0].fold(event)
        if event.type == "run_finished" and self._feeds[0].finished:
            self._stoppable = False
        self._pump.wake()

    def close(self) -> None:
        """Take it off the page and send nothing any more.

        What runs notebooks without a page (nbclient) keeps the last state of every widget that
        ever was in the notebook's metadata, so little is left of this one.
        """
        self._pump.close()
        if self.comm is not None:
            with self.hold_sync():
                self.set_trait("_esm", "export default {}")
                self.set_trait("_css", "")
                for i in range(_SLOTS):
                    self.set_trait(f"_slot_{i}", "")
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Show it; a front end without widgets gets one line instead."""
        self._pump.wake()
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/plain"] = f"{self._line()} (the live view needs ipywidgets)"
        return bundle

    def _line(self) -> str:
        """Return in a few words how the run stands."""
        root = self.trajectory.root
        if root is None:
            return "An RLM run that has not begun"
        status = root.finished.status if root.finished else "running"
        return f"RLM run, {status}: {len(root.turns)} turns"

    def _next_batch(self) -> str | None:
        return next((batch for feed in self._feeds if (batch := feed.batch())), None)

    def _put(self, batch: str) -> None:
        setattr(self, f"_slot_{next(self._numbers) % _SLOTS}", batch)

    def _heard(self, _: Any, content: Any, __: Any) -> None:
        """Do what a front end asks for; what makes no sense is ignored."""
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
        self._pump.wake()

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
