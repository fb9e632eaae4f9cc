"""Whole runs in containers of other shapes: relaxed by name, out of memory, ended by a cell."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from rlm import RLMError
from rlm.core.environments import new_sandbox
from rlm_kernel.docker.container_config import LABEL
from rlm_kernel.docker.engine import engine, engine_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.parametrize("environment", ["docker"], indirect=True)

ANSWER = "```repl\nanswer['content'], answer['ready'] = {}, True\n```"


def test_running_out_of_the_container_s_memory_is_told_to_the_model(
    scripted: Callable[..., Any],
) -> None:
    bomb = "```repl\nheld = []\nwhile True: held.append(b'x' * 1_000_000)\n```"
    rlm = scripted(
        [bomb, ANSWER.format("context + llm_query('q')")],
        environment_kwargs={"mem_limit": "300m"},
    )
    assert rlm.completion("the context, ").response == "the context, ok"
    assert "it went over its memory limit of 0.315 GB" in scripted.shown(1)


def test_a_cell_that_kills_everything_loses_its_variables_and_the_model_is_told(
    scripted: Callable[..., Any],
) -> None:
    rlm = scripted(
        [
            "```repl\nimport os, time\nos.kill(-1, 9)\ntime.sleep(60)\n```",
            ANSWER.format("context + llm_query('q')"),
        ],
    )
    result = rlm.completion("the context, ")
    assert result.response == "the context, ok"
    assert "The kernel was lost with its sandbox" in scripted.shown(1)
    assert "all your variables are gone" in scripted.shown(1)
    assert any(note.kind == "restart" for note in result.trajectory.root.turns[0].cells[0].notes)


def test_only_what_is_relaxed_by_name_is_relaxed(
    scripted: Callable[..., Any], tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "data.txt").write_text("of the host")
    rlm = scripted(
        [
            ANSWER.format(
                "repr((sorted(n for _, n in __import__('socket').if_nameindex()),"
                " __import__('os').getcwd(), __import__('os').environ['MINE'],"
                " open('/data/data.txt').read(), __import__('os').access('/data', 2),"
                " __import__('os').getuid(), __import__('os').access('/etc', 2)))"
            )
        ],
        environment_kwargs={
            "network": "bridge",
            "workdir": "/tmp/here",
            "env": {"MINE": "given"},
            "volumes": {str(tmp_path): {"bind": "/data", "mode": "ro"}},
        },
    )
    interfaces, folder, given, text, writable, user, root = eval(rlm.completion("x").response)
    assert interfaces == ["eth0", "lo"]
    assert (folder, given, text, writable) == ("/tmp/here", "given", "of the host", False)
    assert (user, root) == (65534, False)


def test_a_folder_that_cannot_be_made_is_named(scripted: Callable[..., Any]) -> None:
    rlm = scripted([ANSWER.format("1")], environment_kwargs={"workdir": "/no/such/folder"})
    with pytest.raises(RLMError, match=r"could not be started: Read-only file system /no"):
        rlm.completion("x")


async def test_a_container_says_whose_it_is(environment: str, docker: dict[str, Any]) -> None:
    client = engine(engine_address())
    sandbox = new_sandbox("docker", docker)
    try:
        await sandbox.start()
        (mine,) = client.containers(filters={"label": f"{LABEL}.pid={os.getpid()}"})
        labels = {name for name in mine["Labels"] if name.startswith(LABEL)}
        assert labels >= {LABEL, f"{LABEL}.run", f"{LABEL}.created", f"{LABEL}.pid"}
    finally:
        await sandbox.close()
