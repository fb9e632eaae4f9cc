"""A run's notebook runs again by itself: `Run All`, offline, in real kernels."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from notebook_kernel import notebook

from rlm import RLM, Trajectory
from rlm.demo.server import LMResponse, StandInServer, script
from rlm.formats.notebook import restore_cell as restore
from rlm.logger import NotebookLog
from rlm.trajectory.comparison import compare_outputs

KERNELS = ("rlm", "python3")


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


TOUR = [
    cell(
        "print(len(context), llm_query('single'))\n"
        "replies = llm_query_batched([f'part {i % 3}' for i in range(9)])\nsorted(replies)"
    ),
    # A child, a name of ours overwritten, and an error in a function.
    cell("child = rlm_query('a child')\nprint(child)\ncontext = 'changed'"),
    cell("answer['content'] = f'{context} {llm_query(context)}'; answer['ready'] = True"),
    cell("def half(x):\n    return x / 0\nprint(context, find('whale', most=2))\nSHOW_VARS()"),
    cell("try:\n    find('bad')\nexcept ToolError as error:\n    print(error)\nhalf(1)"),
    cell("'x' * 50_000"),
    cell(
        "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "async def ask(): return await allm_query('async')\n"
        "print(asyncio.run(ask()), await asyncio.gather(*(allm_query(c) for c in 'abc')))\n"
        "with ThreadPoolExecutor() as pool: print(list(pool.map(llm_query, 'xyz')))"
    ),
    cell("print(1"),
    cell("print(llm_query('refused'), llm_query('x', model='unknown'), llm_query(7))\n!echo hi"),
    cell("answer['content'] = replies[0]; answer['ready'] = True\nanswer"),
]


def find(word: str, most: int = 1) -> list[str]:
    if word == "bad":
        raise ValueError("no such word")
    return [word] * most


def record(root: Any, context: Any = "The whole context.", **options: Any) -> Trajectory:
    """Record a run; the model is gone when it is returned."""
    numbers = itertools.count()

    def sub(prompt: str) -> LMResponse:
        if prompt == "refused":
            return LMResponse(status=400, text="no")
        return LMResponse(text=f"{prompt}: reply {next(numbers)}")

    with StandInServer(script(root, sub)) as server:
        kwargs = {"model_name": "m", "base_url": server.base_url, "api_key": "k"}
        with RLM(backend_kwargs=kwargs, **options) as rlm:
            trajectory = rlm.completion(context, root_prompt="What?").trajectory
    assert trajectory is not None
    return trajectory


def saved(trajectory: Trajectory, folder: Path) -> nbformat.NotebookNode:
    return nbformat.read(trajectory.save(folder / "run.ipynb"), as_version=4)


def cleared(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    again = nbformat.from_dict(nb)
    for each in again.cells:
        if each.cell_type == "code":
            each.outputs, each.execution_count = [], None
    return again


def run_all(nb: nbformat.NotebookNode, folder: Path, kernel: str) -> nbformat.NotebookNode:
    """Execute a notebook as `jupyter execute` does, without a key, a model or a network."""
    again = cleared(nb)
    client = nbclient.NotebookClient(
        again,
        kernel_name=kernel,
        timeout=60,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    client.execute()
    return again


def differences(trajectory: Trajectory, nb: nbformat.NotebookNode) -> list[tuple[str, ...]]:
    """Return how the outputs of each cell differ from those that the run recorded."""
    code = [each for each in nb.cells if each.cell_type == "code" and each.id != "restore"]
    assert [each.source for each in code] == [c.started.code for c in trajectory.root.cells]
    pairs = zip(trajectory.root.cells, code, strict=True)
    return [compare_outputs(recorded.outputs, now.outputs) for recorded, now in pairs]


@pytest.mark.parametrize("kernel", KERNELS)
def test_run_all_reproduces_every_output(tmp_path: Path, kernel: str) -> None:
    trajectory = record(TOUR, max_depth=2, custom_tools={"find": find})
    nb = saved(trajectory, tmp_path)
    found = differences(trajectory, run_all(nb, tmp_path, kernel))
    assert found == [()] * (len(TOUR) - 1)
    assert [path.name for path in tmp_path.iterdir()] == ["run.ipynb"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_notebook_of_format_1_still_runs_again(tmp_path: Path, kernel: str) -> None:
    old = Path(__file__).parents[1] / "data" / "notebook_format1.ipynb.json"
    nb = nbformat.read(old, as_version=4)
    assert "from rlm_kernel.inside.restored import restore" in nb.cells[1].source
    events = Trajectory.load(old.with_name("notebook_format1_events.json"))
    assert differences(events, run_all(nb, tmp_path, kernel)) == [()] * 4


async def test_run_all_works_where_the_package_is_not_installed(
    tmp_path: Path, environment: str
) -> None:
    trajectory = record(TOUR, max_depth=2, custom_tools={"find": find})
    again = cleared(saved(trajectory, tmp_path))
    kwargs = {"packages": ["pandas"]} if environment == "docker" else {}
    config = {} if environment == "local" else {"environment_kwargs": kwargs}
    async with notebook(tmp_path, environment, config=config) as kernel:
        client = nbclient.NotebookClient(again, km=kernel.manager, timeout=60)
        client.kc = kernel.client
        await client.async_execute()
    assert differences(trajectory, again) == [()] * (len(TOUR) - 1)


def test_a_fork_with_another_model_can_run_again(tmp_path: Path) -> None:
    first = record([cell("x = llm_query('a')\nx"), cell("answer['ready'] = True")])
    more = cell("print(x, llm_query('b'))\nanswer['content'] = x; answer['ready'] = True")
    with StandInServer(script([more], lambda prompt: f"{prompt}: live")) as server:
        kwargs = {"base_url": server.base_url, "api_key": "k"}
        with RLM.from_notebook(first, turn=2, model="other", backend_kwargs=kwargs) as rlm:
            trajectory = rlm.completion().trajectory
    assert [call.started.model for call in trajectory.root.sub_calls] == ["m", "other"]
    nb = saved(trajectory, tmp_path)
    assert differences(trajectory, run_all(nb, tmp_path, "python3")) == [(), ()]


def test_a_log_that_was_written_as_it_happened_runs_again(tmp_path: Path) -> None:
    book = "Call me Ishmael. " * 10_000
    code = "print(len(context), llm_query('a'))\nanswer['ready'] = True"
    log = NotebookLog(tmp_path, context="file")
    trajectory = record([cell(code)], book, logger=log)
    nb = nbformat.read(log.path, as_version=4)
    assert differences(trajectory, run_all(nb, tmp_path, "rlm")) == [()]
    with RLM.from_notebook(log.path, replay=True) as again:
        result = again.completion()
    assert result.prompt == book
    assert trajectory.same_as(result.trajectory)


@pytest.mark.parametrize("kernel", KERNELS)
def test_too_many_replies_go_into_a_file_next_to_the_notebook(
    tmp_path: Path, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "MAX_CELL", 100)
    trajectory = record([cell("print(llm_query('a'))\nanswer['ready'] = True")])
    nb = saved(trajectory, tmp_path)
    (file,) = (tmp_path / "run.rlm").iterdir()
    assert "run.rlm/replies.json.z" in nb.cells[1].source
    assert differences(trajectory, run_all(nb, tmp_path, kernel)) == [()]
    file.write_bytes(b"something else")
    with pytest.raises(CellExecutionError, match="is not the one that was saved"):
        run_all(nb, tmp_path, kernel)
    file.unlink()
    with pytest.raises(CellExecutionError, match="Put it next to the notebook"):
        run_all(nb, tmp_path, kernel)


def test_a_context_that_is_not_in_the_notebook_is_requested(tmp_path: Path) -> None:
    book = "Call me Ishmael. " * 10_000
    trajectory = record([cell("print(len(context))\nanswer['ready'] = True")], book)
    nb = saved(trajectory, tmp_path)
    with pytest.raises(CellExecutionError, match="does not hold the run's context"):
        run_all(nb, tmp_path, "rlm")
    (tmp_path / "book.txt").write_text(book)
    source = nb.cells[1].source
    nb.cells[1].source = source.replace("# context=", "context=").replace("FILE", "book.txt")
    run_all(nb, tmp_path, "rlm")
    (tmp_path / "book.txt").write_text("Call me Ahab.")
    with pytest.raises(CellExecutionError, match="is not the one that the run was about"):
        run_all(nb, tmp_path, "rlm")


@pytest.mark.parametrize(
    ("context", "content"),
    [
        ([{"row": n} for n in range(10_000)], json.dumps([{"row": n} for n in range(10_000)])),
        (b"plain" * 20_000, "plain" * 20_000),
        ("line\n" * 20_000, "line\r\n" * 20_000),
    ],
)
def test_a_file_given_in_the_notebook_is_read_as_the_contexts_type(
    tmp_path: Path, context: Any, content: str
) -> None:
    code = "print(type(context), len(context), SHOW_VARS())\nanswer['ready'] = True"
    trajectory = record([cell(code)], context)
    nb = saved(trajectory, tmp_path)
    (tmp_path / "file").write_bytes(content.encode())
    nb.cells[1].source = (
        nb.cells[1].source.replace("# context=", "context=").replace("FILE", "file")
    )
    assert differences(trajectory, run_all(nb, tmp_path, "rlm")) == [()]
    (tmp_path / "file").write_bytes(content.encode()[:-3])
    with pytest.raises(CellExecutionError, match="is not the one that the run was about"):
        run_all(nb, tmp_path, "rlm")


def test_a_context_next_to_the_notebook_is_found(tmp_path: Path) -> None:
    book = {"a": ["Call me Ishmael. " * 10_000]}
    trajectory = record([cell("print(len(context['a'][0]))\nanswer['ready'] = True")], book)
    from rlm_kernel.context.value import context_value
    from rlm_kernel.context.write import write_context

    (tmp_path / "run.rlm").mkdir()
    write_context(context_value(book), tmp_path / "run.rlm" / "context.json")
    nb = saved(trajectory, tmp_path)
    assert differences(trajectory, run_all(nb, tmp_path, "rlm")) == [()]
    trajectory.save(tmp_path / "run.json")
    with RLM.from_notebook(tmp_path / "run.json", replay=True) as again:
        assert again.completion().prompt == book


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_cell_says_what_the_log_lacks(tmp_path: Path, kernel: str) -> None:
    trajectory = record([cell("print(llm_query('one'))\nanswer['ready'] = True")])
    nb = saved(trajectory, tmp_path)
    code = next(each for each in nb.cells if each.cell_type == "code" and each.id != "restore")
    code.source = code.source.replace("one", "two")
    with pytest.raises(CellExecutionError, match="llm_query is not in the log of this run"):
        run_all(nb, tmp_path, kernel)


def test_a_damaged_cell_says_so(tmp_path: Path) -> None:
    nb = saved(record([cell("answer['ready'] = True")]), tmp_path)
    whole = nb.cells[1].source
    nb.cells[1].source = whole.replace('"""\n', '"""\nAAAA', 1)
    with pytest.raises(CellExecutionError, match="are damaged"):
        run_all(nb, tmp_path, "rlm")


def test_setup_code_runs_in_the_restoring_cell(tmp_path: Path) -> None:
    trajectory = record(
        [cell("print(prepared)\nanswer['ready'] = True")],
        environment_kwargs={"setup_code": "prepared = llm_query('setup')"},
    )
    nb = saved(trajectory, tmp_path)
    assert differences(trajectory, run_all(nb, tmp_path, "rlm")) == [()]


async def test_a_person_continues_by_hand_where_the_kernel_has_a_model(
    tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    trajectory = record([cell("context = llm_query('one')\nanswer['ready'] = True")])
    nb = saved(trajectory, tmp_path)
    restoring, recorded = [each.source for each in nb.cells if each.cell_type == "code"]
    live = server(script([], lambda prompt: f"live {prompt}"))
    kwargs = {"model_name": "m", "base_url": live.base_url}
    config = {"rlm": {"backend": "openai", "backend_kwargs": kwargs}}
    async with notebook(tmp_path, config=config) as kernel:
        await kernel.run(restoring)
        await kernel.run(recorded)
        assert live.requests == []
        # The name that the run's cell took is back; one that a person takes stays.
        assert await kernel.run("print(context, llm_query('two'))") == (
            "The whole context. live two\n"
        )
        await kernel.run("context = 'mine'")
        assert await kernel.run("print(context)") == "mine\n"
        await kernel.run(recorded)
        assert await kernel.run("print(context)") == "The whole context.\n"
