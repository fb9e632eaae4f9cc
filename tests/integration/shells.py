"""A real IPython shell with the magics in it, and a model behind a real server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rlm.demo.server import StandInServer


class Notebook:
    """A shell with shorthands for what tests ask of it."""

    def __init__(self, shell: InteractiveShell, serve: Callable[..., StandInServer]) -> None:
        self.shell = shell
        self.serve = serve
        self.server: StandInServer
        shell.run_line_magic("load_ext", "rlm_ipython")

    @property
    def magics(self) -> Any:
        return self.shell.magics_manager.registry["RLMMagics"]

    def model(self, root: Any, sub: Any = lambda _: "ok", *, latency: float = 0.0) -> None:
        """Let a script answer from now on, as the model that is called "m"."""
        from rlm.demo.server import script

        self.server = self.serve(script(root, sub), latency=latency)
        self.magics.model = "m"
        self.magics.base_url = self.server.base_url

    def run(self, cell: str) -> Any:
        """Run a cell that must succeed, and return its value."""
        done = self.shell.run_cell(cell, store_history=True)
        done.raise_error()
        return done.result

    def fails(self, cell: str) -> BaseException:
        """Run a cell that must fail, and return what it failed in."""
        done = self.shell.run_cell(cell, store_history=True)
        error = done.error_before_exec or done.error_in_exec
        assert error is not None
        return error

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.shell.user_ns[name] = value


@contextmanager
def opened(folder: Path, serve: Callable[..., StandInServer]) -> Iterator[Notebook]:
    """Open a shell of its own, with nothing of this machine's configuration."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.ipython_dir = str(folder)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    try:
        yield Notebook(shell, serve)
        shell.run_line_magic("unload_ext", "rlm_ipython")
    finally:
        InteractiveShell.clear_instance()
