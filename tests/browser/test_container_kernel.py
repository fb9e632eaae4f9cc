"""A person's kernel in a container, from JupyterLab: the kernelspec `rlm-docker`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm_kernel.docker.engine import engine, engine_address
from rlm_kernel.docker.images import Images
from rlm_kernel.docker.options import docker_options
from rlm_kernel.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable


def trouble() -> str:
    try:
        address = engine_address()
        Images(engine(address), address).resolve(docker_options({}))
    except SandboxError as error:
        return str(error)
    return ""


def test_a_notebook_runs_in_a_container(
    require: Callable[[object, str], None], notebook: Callable[..., Any]
) -> None:
    require(not trouble(), f"a Docker engine with an image for kernels ({trouble()})")
    opened = notebook(
        "container.ipynb",
        "import os, socket\nprint(os.getuid(), [name for _, name in socket.if_nameindex()])",
        "print(os.access('/etc', os.W_OK))",
        kernel="rlm-docker",
    )
    opened.run_all()
    assert opened.outputs(0)[0]["text"] == "65534 ['lo']\n"
    assert opened.outputs(1)[0]["text"] == "False\n"
