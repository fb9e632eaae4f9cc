"""The viewer beside real runs, and in a real kernel, spoken to as a front end speaks to it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from live_kernel import opened

from rlm import RLM
from rlm.demo.server import StandInServer, script
from rlm.errors import ArgumentError, ConfigurationError
from rlm_ipython.viewer import TrajectoryViewer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

    from rlm.trajectory import Trajectory

TURNS = ("Look.\n```repl\nprint(len(context))\n```", "Done.\n```repl\nanswer['ready'] = True\n```")


class FrontEnd:
    """Collects the batches of a viewer in this process."""

    def __init__(self, viewer: TrajectoryViewer) -> None:
        self.batches: list[dict[str, Any]] = []
        self._news = threading.Condition()
        names = [name for name in viewer.trait_names() if name.startswith("_slot_")]
        with self._news:
            viewer.observe(self._take, names)
            # As a page does: what the viewer has said already is still there.
            self._read = [text for name in names if (text := getattr(viewer, name))]
            self.batches += sorted(map(json.loads, self._read), key=lambda batch: batch["first"])

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return what it was told, checked to be without a gap and without anything twice."""
        told: list[dict[str, Any]] = []
        for batch in self.batches:
            assert batch["first"] == len(told)
            told += batch["events"]
        return told

    def wait(self, run: Trajectory | None) -> None:
        """Wait until it has been told of the end of a run that is over."""
        assert run is not None
        assert run.root is not None
        last = ("run_finished", run.root.started.id)

        def told() -> bool:
            events = (event for batch in self.batches for event in batch["events"])
            return any((event["type"], event["id"]) == last for event in events)

        with self._news:
            assert self._news.wait_for(told, 30)

    def _take(self, change: Any) -> None:
        with self._news:
            if change["new"] and not any(change["new"] is text for text in self._read):
                self.batches.append(json.loads(change["new"]))
                self._news.notify_all()


@contextmanager
def scripted(server: Callable[..., StandInServer], *turns: str, **options: Any) -> Iterator[RLM]:
    kwargs = {"model_name": "m", "base_url": server(script(list(turns))).base_url}
    with RLM(backend_kwargs=kwargs, **options) as rlm:
        yield rlm


def test_a_run_reaches_the_front_end_whole_and_in_order(
    server: Callable[..., StandInServer],
) -> None:
    with scripted(server, *TURNS) as rlm:
        handle = rlm.start("some context", "What?")
        viewer = TrajectoryViewer(handle)
        front_end = FrontEnd(viewer)
        handle.result()
        front_end.wait(handle.trajectory)
        events = [(e.type, e.id) for e in handle.trajectory.events]
        assert [(e["type"], e["id"]) for e in front_end.events] == events
        # All has been sent: a page that is opened now gets it again, and once.
        front_end.batches.clear()
        viewer._heard(viewer, {"kind": "hello", "from": {}}, [])
        front_end.wait(handle.trajectory)
        assert [(e["type"], e["id"]) for e in front_end.events] == events
    viewer.close()


def test_thousands_of_events_become_few_messages(server: Callable[..., StandInServer]) -> None:
    fan_out = "```repl\nr = llm_query_batched(['p'] * 2000)\nanswer['ready'] = True\n```"
    with scripted(server, fan_out) as rlm:
        handle = rlm.start("c", "What?")
        viewer = TrajectoryViewer(handle)
        front_end = FrontEnd(viewer)
        handle.result()
        front_end.wait(handle.trajectory)
    assert len(front_end.events) == len(handle.trajectory.events) > 4000
    assert len(front_end.batches) < 200
    viewer.close()


def test_as_a_reader_it_shows_the_newest_run(server: Callable[..., StandInServer]) -> None:
    viewer = TrajectoryViewer()
    front_end = FrontEnd(viewer)
    with scripted(server, *TURNS, *TURNS, logger=viewer) as rlm:
        rlm.completion("one", "First?")
        second = rlm.completion("two", "Second?")
    front_end.wait(second.trajectory)
    assert second.trajectory is not None
    assert viewer.trajectory.events == second.trajectory.events
    epochs = [batch["epoch"] for batch in front_end.batches]
    assert epochs == sorted(epochs)
    viewer.close()


def test_stop_ends_a_background_run(server: Callable[..., StandInServer]) -> None:
    with scripted(server, "```repl\nimport time\ntime.sleep(600)\n```") as rlm:
        handle = rlm.start("c", "What?")
        viewer = TrajectoryViewer(handle)
        viewer._heard(viewer, {"kind": "stop"}, [])
        assert handle.wait(60)
        assert handle.error is not None
        viewer.close()


def test_it_opens_files_and_results(server: Callable[..., StandInServer], tmp_path: Path) -> None:
    with scripted(server, *TURNS) as rlm:
        result = rlm.completion("c", "What?")
    path = result.save(tmp_path / "run.json")
    for source in (result, result.trajectory, path, str(path)):
        viewer = TrajectoryViewer(source)
        assert len(viewer.trajectory.events) == len(result.trajectory.events)  # type: ignore[union-attr]
        viewer.close()


def test_a_file_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="not int"):
        TrajectoryViewer(42)
    with pytest.raises(ConfigurationError):
        TrajectoryViewer(tmp_path / "run.txt")


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "hello",
        {"kind": "hello", "from": [1]},
        {"kind": "hello", "from": {"0": {"epoch": "x", "next": -5}}},
        {"kind": "load", "track": True, "number": 0},
        {"kind": "load", "track": 0, "number": 10**9},
        {"kind": "load", "track": 0, "number": "0"},
        {"kind": "search", "track": 0, "text": ["x"]},
        {"kind": "stop"},
        {"kind": "__class__"},
    ],
)
def test_nonsense_from_a_page_does_nothing(nonsense: object) -> None:
    viewer = TrajectoryViewer()
    viewer._heard(viewer, nonsense, [])
    viewer.close()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[BlockingKernelClient]:
    """A person's kernel, without a front end."""
    with opened(tmp_path) as kernel:
        yield kernel.client


def run(client: BlockingKernelClient, code: str) -> list[dict[str, Any]]:
    """Run a cell that must succeed; return what the kernel published."""
    published: list[dict[str, Any]] = []
    reply = client.execute_interactive(code, timeout=60, output_hook=published.append)
    assert reply["content"]["status"] == "ok", reply["content"]
    return published


def test_in_a_kernel_it_answers_a_front_end_and_leaves_html_behind(
    server: Callable[..., StandInServer], kernel: BlockingKernelClient
) -> None:
    url = server(script(list(TURNS))).base_url
    setup = (
        "from rlm import RLM\nfrom rlm_ipython.viewer import show_live\n"
        f"rlm = RLM(backend_kwargs={{'model_name': 'm', 'base_url': {url!r}}})\n"
        "handle = rlm.start('some context', 'What?')\n"
    )
    published = run(kernel, f"{setup}with show_live(handle):\n    handle.wait()\nrlm.close()")
    kinds = [message["msg_type"] for message in published]
    assert kinds.count("display_data") == kinds.count("update_display_data") == 1
    shown, left = (m["content"] for m in published if m["msg_type"].endswith("display_data"))
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    assert set(left["data"]) == {"text/html", "text/plain"}
    assert "<script" not in left["data"]["text/html"]
    assert shown["transient"] == left["transient"]
    assert "comm_close" in kinds
    # nbclient would keep the last state of the closed widget: little is left of it.
    state: dict[str, Any] = {}
    for message in published:
        if message["msg_type"] in {"comm_open", "comm_msg"}:
            state.update(message["content"]["data"].get("state", {}))
    kept = {name: value for name, value in state.items() if isinstance(value, str)}
    assert max(map(len, kept.values())) < 200
