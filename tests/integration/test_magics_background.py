"""Who looks after a run of `--bg`: whatever becomes of its view, it is seen to and let go."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from rlm import RLM
from rlm.demo.server import script
from rlm_ipython.background import Background

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.demo.server import StandInServer

DONE = "```repl\nanswer['content'] = 'done'\nanswer['ready'] = True\n```"


class Broken:
    """A view that nobody can see any more from one of its steps on."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.ticked = threading.Event()

    def tick(self) -> None:
        self.ticked.set()
        self._show("tick")

    def end(self) -> None:
        self._show("end")

    def _show(self, step: str) -> None:
        if step == self.step:
            raise OSError("the front end is gone")


@pytest.mark.parametrize("step", ["tick", "end"])
def test_a_run_whose_view_fails_is_finished_and_freed(
    server: Callable[..., StandInServer], caplog: pytest.LogCaptureFixture, step: str
) -> None:
    view, background = Broken(step), Background()

    def reply(_: Any) -> str:
        assert view.ticked.wait(30)
        return DONE

    running = server(script(reply))
    kwargs = {"model_name": "m", "base_url": running.base_url}
    done_at_finish: list[bool] = []
    freed = threading.Event()
    with caplog.at_level(logging.WARNING, "rlm"), RLM(backend_kwargs=kwargs) as rlm:
        handle = rlm.start("text", at_end=background.at_end)
        background.watch(
            handle,
            view,
            finish=lambda _: done_at_finish.append(handle.done),
            free=freed.set,
        )
        assert handle.result().response == "done"
        assert freed.wait(30)
    assert done_at_finish == [False]
    assert caplog.text.count("could not be shown: OSError: the front end is gone") == 1
