"""A real Jupyter server for browser tests: JupyterLab at `/lab`, Notebook 7 at `/notebooks`.

Everything that Jupyter keeps (configuration, data, runtime files, settings, workspaces) is in
one temporary folder, and nothing is asked of the network.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOKEN = "t" * 16
_START_SECONDS = 60
_STOP_SECONDS = 15

_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


class JupyterServer:
    """`jupyter lab`, which serves Notebook 7 too, in a folder of its own.

    Args:
        folder: A new folder; notebooks are in its `work` folder.
        theme: What Lab looks like: ``"light"`` or ``"dark"``.
    """

    def __init__(self, folder: Path, theme: str = "light") -> None:
        self.folder = folder
        self.root = folder / "work"
        self.root.mkdir(parents=True)
        settings = folder / "settings"
        settings.mkdir()
        themed = {"@jupyterlab/apputils-extension:themes": {"theme": f"JupyterLab {theme.title()}"}}
        for plugin, values in {**_SETTINGS, **themed}.items():
            package, _, name = plugin.partition(":")
            path = settings / package / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log: list[str] = []
        self._listening = threading.Event()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}"),
                *("--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
                f"--ServerApp.root_dir={self.root}",
                *("--LabApp.expose_app_in_browser=True", "--LabApp.news_url="),
                "--JupyterNotebookApp.expose_app_in_browser=True",
                "--LanguageServerManager.autodetect=False",
            ],
            env=self._environment(),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        if not self._listening.wait(_START_SECONDS) or self._process.poll() is not None:
            self.close()
            raise RuntimeError("JupyterLab did not start:\n" + "\n".join(self.log[-20:]))

    def write(self, name: str, *cells: str, kernel: str = "python3") -> str:
        """Write a notebook of code cells; a cell that starts with `%%md` is Markdown.

        Returns:
            Its name, for `open_notebook`.
        """
        notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        notebook.metadata.kernelspec = {
            "name": kernel,
            "display_name": kernel,
            "language": "python",
        }
        for source in cells:
            new = nbformat.v4.new_code_cell
            if source.startswith("%%md\n"):
                new, source = nbformat.v4.new_markdown_cell, source.removeprefix("%%md\n")  # noqa: PLW2901 - the marker goes
            notebook.cells.append(new(source))  # type: ignore[no-untyped-call]
        return self.put(name, notebook)

    def put(self, name: str, notebook: Any) -> str:
        """Write a notebook as it is.

        Returns:
            Its name, for `open_notebook`.
        """
        nbformat.write(notebook, self.root / name)  # type: ignore[no-untyped-call]
        return name

    def read(self, name: str) -> Any:
        """Return a saved notebook."""
        return nbformat.read(self.root / name, as_version=4)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """End the server and its kernels."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._listener.join(_STOP_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _environment(self) -> dict[str, str]:
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        env = {**os.environ, **{name: str(self.folder / path) for name, path in own.items()}}
        env.pop("JUPYTER_PATH", None)
        return env

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line.rstrip())
            if f":{self.port}/" in line:
                self._listening.set()
        self._listening.set()


_OPEN = """
async () => {
    const app = window.jupyterapp;
    await app.restored;
    const opened = () => {
        for (const widget of app.shell.widgets('main')) {
            if (widget.content && widget.content.model && widget.context) return widget;
        }
        return null;
    };
    while (!opened()) await new Promise(resolve => setTimeout(resolve, 20));
    const panel = opened();
    await panel.context.ready;
    await panel.sessionContext.ready;
    if (panel.sessionContext.session) await panel.sessionContext.session.kernel.info;
    window.panel = panel;
}
"""

_BUSY = """
([from, to]) => {
    const cells = window.panel.content.model.cells;
    for (let i = from; i < to; i++) {
        const cell = cells.get(i);
        if (cell.type === 'code' && cell.sharedModel.getSource().trim()
            && (cell.executionState !== 'idle' || cell.executionCount === null)) return false;
    }
    return true;
}
"""


@dataclass(frozen=True, slots=True)
class OpenNotebook:
    """A notebook that is open in a browser, driven through the application's own commands.

    Attributes:
        page: The browser's page.
    """

    page: Page

    def execute(self, command: str, **arguments: Any) -> None:
        """Ask for a command, and do not wait for it: some never settle."""
        self.page.evaluate(
            "([name, args]) => { window.jupyterapp.commands.execute(name, args); }",
            [command, arguments],
        )

    def run_all(self, *, wait: bool = True, timeout: float = 60) -> None:
        """Run every cell; `wait` until all are done, else return at once."""
        self.execute("notebook:run-all-cells")
        if wait:
            self.wait(timeout)

    def run_cell(self, index: int, *, wait: bool = True, timeout: float = 60) -> None:
        """Select a cell and run it."""
        self.page.evaluate("i => { window.panel.content.activeCellIndex = i; }", index)
        self.page.evaluate("i => { window.panel.content.deselectAll(); }", index)
        self.execute("notebook:run-cell")
        if wait:
            self.wait(timeout, first=index, last=index + 1)

    def wait(self, timeout: float = 60, *, first: int = 0, last: int | None = None) -> None:
        """Wait until cells have run."""
        end = self.cell_count() if last is None else last
        self.page.wait_for_function(_BUSY, arg=[first, end], timeout=timeout * 1000)

    def cell_count(self) -> int:
        """Return how many cells there are."""
        return int(self.page.evaluate("() => window.panel.content.model.cells.length"))

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Return a cell's outputs as the notebook's model has them."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "i => window.panel.content.model.cells.get(i).outputs.toJSON()", index
        )
        return found

    def save(self) -> None:
        """Save the notebook and wait until it is written."""
        self.page.evaluate("async () => { await window.panel.context.save(); }")

    def trusted(self, index: int) -> bool:
        """Whether a cell is trusted."""
        return bool(
            self.page.evaluate("i => window.panel.content.model.cells.get(i).trusted", index)
        )

    def shutdown(self) -> None:
        """End the notebook's kernel."""
        self.page.evaluate("async () => { await window.panel.sessionContext.shutdown(); }")


def open_notebook(page: Page, server: JupyterServer, name: str, app: str = "lab") -> OpenNotebook:
    """Open a notebook in a front end and wait until its kernel answers.

    Args:
        page: Where.
        server: Whose.
        name: Its path below the server's root.
        app: ``"lab"`` or ``"notebook"``.
    """
    path = f"/lab/tree/{name}?reset" if app == "lab" else f"/notebooks/{name}"
    joint = "&" if "?" in path else "?"
    page.goto(f"{server.url}{path}{joint}token={TOKEN}", wait_until="domcontentloaded")
    page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
    page.evaluate(_OPEN)
    return OpenNotebook(page)
