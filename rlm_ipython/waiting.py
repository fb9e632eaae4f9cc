"""Waiting for a run in the cell that asked for it, and stopping it with the interrupt button."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rlm.errors import CancellationError
from rlm_ipython.views import Silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.api.run_handle import RunHandle
    from rlm.core.main_thread import MainThreadCalls
    from rlm.core.types import RLMChatCompletion
    from rlm.errors import RLMError
    from rlm_ipython.views import View

_TICK = 0.1
_GRACE = 10.0
"""Seconds that a stopped run has to end its kernels while we wait for it."""


def wait_for(
    handle: RunHandle, show: Callable[[], View], desk: MainThreadCalls
) -> RLMChatCompletion | RLMError:
    """Wait for a run and show it meanwhile; a Ctrl-C (the interrupt button) stops it.

    Args:
        handle: The run.
        show: Begins to show it; the interrupt button counts from before that.
        desk: Where it leaves its questions to the user.

    Returns:
        The result, or what the run ended in.
    """
    handle.add_done_callback(lambda _: desk.wake())
    view: View = Silent()
    try:
        view = show()
        while not handle.done:
            desk.serve(_TICK)
            view.tick()
    except KeyboardInterrupt:
        handle.stop()
        # A second Ctrl-C ends this wait as well: the run is stopped, whoever waits for it.
        with suppress(KeyboardInterrupt):
            handle.wait(_GRACE)
    view.end()
    if not handle.done:
        error = CancellationError(message="The run was cancelled; it still frees what it holds.")
        error.trajectory = handle.trajectory
        return error
    return handle.error or handle.result()
