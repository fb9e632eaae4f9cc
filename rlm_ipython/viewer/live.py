"""Shows a run while it goes on, and leaves static HTML when it is over."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlm.render.view import as_output
from rlm_ipython.viewer.widget import TrajectoryViewer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.display_functions import DisplayHandle


class LiveView:
    """A viewer in a notebook, which static HTML replaces at the end.

    A notebook file keeps the last version of an output. A widget would be kept as an id that
    means nothing after a restart, so at the end one line that opens to HTML without scripts
    replaces it.

    Args:
        source: What `TrajectoryViewer` takes.
        traits: Its `height` and `compare_with`, and what every widget takes.

    Attributes:
        viewer: The widget.
    """

    def __init__(self, source: Any, **traits: Any) -> None:
        from IPython.display import display

        self.viewer = TrajectoryViewer(source, **traits)
        self._handle: DisplayHandle | None = display(self.viewer, display_id=True)
        self._over = False

    def tick(self) -> None:
        """Do nothing: the widget receives the events as a reader."""

    def end(self) -> None:
        """Replace the widget by the static view and close it; further calls do nothing."""
        if self._over:
            return
        self._over = True
        if self._handle is not None:
            self._handle.update(as_output(self.viewer.trajectory, folded=True), raw=True)
        self.viewer.close()


@contextmanager
def show_live(source: Any, **traits: Any) -> Iterator[LiveView]:
    """Show a run while a block of code waits for it; at the end static HTML stays.

    Args:
        source: What `TrajectoryViewer` takes.
        traits: Its `height` and `compare_with`, and what every widget takes.
    """
    view = LiveView(source, **traits)
    try:
        yield view
    finally:
        view.end()
