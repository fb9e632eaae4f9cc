"""The thread behind a run of `--bg`: shows the run, and saves it before it counts as done."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.api.run_handle import RunHandle
    from rlm.core.types import RLMChatCompletion
    from rlm.errors import RLMError
    from rlm_ipython.views import View

_TICK = 0.25
_log = logging.getLogger("rlm")


class Background:
    """A thread that shows one run and finishes it.

    The run is `done` only afterwards, so code that waits for it finds its file written and its
    error ready to print.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._outcome: RLMChatCompletion | RLMError | None = None
        self._finished: Future[None] = Future()

    async def at_end(self, outcome: RLMChatCompletion | RLMError) -> None:
        """Wait until the thread has finished the run; this is the `at_end` of `RLM.start`."""
        self._outcome = outcome
        self._over.set()
        await asyncio.wrap_future(self._finished)

    def watch(
        self,
        handle: RunHandle,
        view: View,
        *,
        finish: Callable[[RLMChatCompletion | RLMError], None],
        free: Callable[[], None],
    ) -> None:
        """Start the thread; it calls `finish` before the run is done, and `free` afterwards."""

        def work() -> None:
            try:
                shown = True
                while not self._over.wait(_TICK):
                    shown = shown and _shows(handle, view.tick)
                outcome = self._outcome or handle.error
                if outcome is not None:
                    finish(outcome)
                _shows(handle, view.end)
            finally:
                self._release()
                handle.wait()
                free()

        # A run that is cancelled before it starts never calls `at_end`.
        handle.add_done_callback(lambda _: self._over.set())
        try:
            threading.Thread(target=work, name=f"rlm-bg-{handle.id}", daemon=True).start()
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        """Let the run become done."""
        with suppress(InvalidStateError):  # The thread had started before an interrupt came.
            self._finished.set_result(None)


def _shows(handle: RunHandle, step: Callable[[], None]) -> bool:
    """Call a method of the view and return whether it worked; the run goes on in any case."""
    try:
        step()
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the answer is paid for
        _log.warning(
            "Run %s goes on, but could not be shown: %s: %s. %%rlm show shows it.",
            handle.id,
            type(error).__name__,
            error,
            exc_info=error,
        )
        return False
    return True
