"""What the folder listing promises: who imports whom, what starts lazily, how big a module gets."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rlm
from rlm_kernel.relay.bootstrap import MODULES

ROOT = Path(__file__).parents[2]
PACKAGES = ("rlm_ipython", "rlm", "rlm_kernel")

FLOORS: tuple[str, ...] = (
    "rlm_ipython",
    "rlm_ipython/viewer",
    "rlm/cli",
    "rlm/demo",
    "rlm/api",
    "rlm/replay",
    "rlm/logger",
    "rlm/core",
    "rlm/formats/notebook",
    "rlm/formats/jsonl",
    "rlm/formats",
    "rlm/render",
    "rlm/trajectory",
    "rlm/backends",
    "rlm/run_options",
    "rlm",
    "rlm_kernel/subcall_server",
    "rlm_kernel/docker",
    "rlm_kernel/modal",
    "rlm_kernel/relay",
    "rlm_kernel/local",
    "rlm_kernel/host",
    "rlm_kernel/guest",
    "rlm_kernel/context",
    "rlm_kernel/protocol",
    "rlm_kernel",
)
"""Every folder, from the top floor down: a module imports its own folder and the floors below.

The files of `rlm/` itself are the words of a run; those of `rlm_kernel/` what all its folders say.
"""

FACES: dict[str, str] = {
    "rlm/__init__.py": "rlm_ipython",
    "rlm/__main__.py": "rlm/cli",
    "rlm/approval.py": "rlm/api",
    "rlm_kernel/__main__.py": "rlm_kernel/subcall_server",
    "rlm_kernel/forkserver.py": "rlm_kernel/guest",
    "rlm_kernel/inside/__init__.py": "rlm_kernel/guest",
    "rlm_kernel/inside/restored.py": "rlm_kernel/guest",
    "rlm_kernel/install.py": "rlm_kernel/subcall_server",
    "rlm_kernel/provisioner.py": "rlm_kernel/subcall_server",
}
"""Modules that users, Jupyter or `python -m` know by a name: they stand on the floor named here."""

DOORS_BY_NAME: dict[str, str] = {
    "rlm/__init__.py": "the face of the package loads the engine when asked for",
    "rlm/backends/http.py": "the HTTP package that the installed SDK stands on",
    "rlm/backends/litellm_client.py": "litellm, which is slow to import",
    "rlm/cli/entry.py": "the command's module",
    "rlm/logger/__init__.py": "the readers, when asked for",
    "rlm/render/view.py": "upwards: `.view()` shows the viewer of `rlm_ipython`",
    "rlm/trajectory/files.py": "upwards: the table of formats names their readers and writers",
    "rlm/trajectory/fold.py": "upwards: `Trajectory.save`, `load` and `view`",
    "rlm_kernel/guest/forkserver.py": "what every kernel needs, once the stream is safe",
    "rlm_kernel/relay/sandbox.py": "ZMQ, while the container starts",
}
"""Every module that imports another by name at run time, with the reason."""

INSIDE_THE_SANDBOX = tuple(path for path in MODULES if path != "rlm_kernel/__main__.py")
WHAT_A_SANDBOX_HAS = {"IPython", "ipykernel", "jupyter_client", "tornado", "traitlets", "zmq"}
"""ipykernel and pyzmq, with what they depend on."""

LAZY = ("openai", "anthropic", "litellm", "docker", "modal", "rich", "nbformat", "jupyter_client")


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def floor(path: Path) -> int:
    """Return a module's floor: 0 is the top one."""
    return FLOORS.index(FACES.get(shown(path), shown(path.parent)))


def file_of(dotted: str) -> Path | None:
    """Return the file of a module of ours; None when the name is none of a module."""
    path = ROOT / dotted.replace(".", "/")
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.exists()), None)


def home_of(package: str, name: str) -> Path | None:
    """Return the file that a name imported from a package stands in, through `rlm`'s lazy face."""
    module = file_of(f"{package}.{name}")
    if module is None and package == "rlm":
        return file_of(getattr(rlm, name).__module__)
    return module or file_of(package)


@functools.cache
def imported_files(path: Path) -> frozenset[Path]:
    """Return our files that a module imports, for types alone and inside functions too."""
    found: set[Path | None] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(file_of(name.name) for name in node.names if is_ours(name.name))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}: imports are absolute"
            if node.module and is_ours(node.module):
                found.update(home_of(node.module, name.name) for name in node.names)
    return frozenset(file for file in found if file is not None) - {path}


def is_ours(dotted: str) -> bool:
    return dotted.partition(".")[0] in PACKAGES


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_every_folder_has_its_floor() -> None:
    folders = {shown(path.parent) for path in modules() if shown(path) not in FACES}
    assert folders == set(FLOORS)
    assert all((ROOT / face).exists() for face in FACES)


@pytest.mark.parametrize("path", modules(), ids=shown)
def test_imports_only_run_downwards(path: Path) -> None:
    upwards = {shown(file) for file in imported_files(path) if floor(file) < floor(path)}
    assert upwards == set()


def test_every_import_by_name_is_listed() -> None:
    found = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "importlib.import_module",
                "import_module",
                "__import__",
            }:
                found.add(shown(path))
    assert found == set(DOORS_BY_NAME)


def test_no_files_import_each_other_in_a_circle() -> None:
    # `import rlm.x` runs `rlm/__init__.py` too, which names all it offers but imports errors only.
    graph = {path: imported_files(path) for path in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(shown(path) for path in error.args[1]))


@pytest.mark.parametrize("path", INSIDE_THE_SANDBOX)
def test_what_runs_in_a_sandbox_needs_ipykernel_only(path: str) -> None:
    foreign = imported(ROOT / path) - set(sys.stdlib_module_names)
    assert foreign - {"rlm_kernel", "__future__"} <= WHAT_A_SANDBOX_HAS


@pytest.mark.parametrize("path", INSIDE_THE_SANDBOX)
def test_what_runs_in_a_sandbox_uses_only_what_does(path: str) -> None:
    used = {shown(file) for file in imported_files(ROOT / path)}
    assert used <= set(INSIDE_THE_SANDBOX)


def test_importing_the_api_loads_no_sdk() -> None:
    code = (
        "import sys; from rlm import RLM; from rlm.logger import RLMLogger\n"
        f"print([name for name in {LAZY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", modules(), ids=shown)
def test_no_module_is_long_or_a_grab_bag(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 410
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


def test_a_folder_says_what_lives_there() -> None:
    for init in (path for path in modules() if path.name == "__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init
