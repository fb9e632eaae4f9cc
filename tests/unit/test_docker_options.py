"""What `environment_kwargs` takes for a container, checked before anything is started."""

from __future__ import annotations

from typing import Any

import pytest

from rlm import RLM
from rlm_kernel.docker.container_config import container_config
from rlm_kernel.docker.options import docker_options

WRONG: dict[str, Any] = {
    "image": "",
    "packages": "pandas",
    "build_network": 3,
    "pip_index_url": "",
    "network": None,
    "mem_limit": "lots",
    "cpus": 0,
    "pids_limit": 2.5,
    "volumes": ["/a:/b"],
    "gpus": 0,
    "user": 0,
    "workdir": "relative",
    "shm_size": -1,
    "reuse": "yes",
}


def rlm(**kwargs: Any) -> RLM:
    return RLM(
        backend_kwargs={"model_name": "m", "api_key": "k"},
        environment="docker",
        environment_kwargs=kwargs,
    )


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_its_name(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        rlm(**{name: WRONG[name]})


def test_an_unknown_name_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(TypeError, match=r"'memlimit'.*Did you mean 'mem_limit'.*volumes"):
        rlm(memlimit="4g")


def test_an_option_of_pip_is_no_package() -> None:
    with pytest.raises(ValueError, match="no options of pip"):
        rlm(packages=["--index-url=http://x"])


def test_a_container_is_locked_down_unless_told_otherwise() -> None:
    host = container_config("image", "python", docker_options({}))["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["LogConfig"]["Type"] == "none"
    assert host["Memory"] == host["MemorySwap"] == 4 << 30
    assert host["PidsLimit"] == 2048
    assert not host.get("Binds")
    assert not host.get("PortBindings")


def test_each_relaxation_is_asked_for_by_its_name() -> None:
    config = container_config(
        "image",
        "python",
        docker_options(
            {
                "network": "bridge",
                "mem_limit": "1g",
                "cpus": 1.5,
                "pids_limit": 99,
                "volumes": {"/data": "/in", "/more": {"bind": "/out", "mode": "ro"}},
                "gpus": "all",
                "user": "1000:1000",
                "shm_size": "1g",
            }
        ),
    )
    host = config["HostConfig"]
    assert host["NetworkMode"] == "bridge"
    assert host["Memory"] == 1 << 30
    assert (host["CpuQuota"], host["CpuPeriod"]) == (150_000, 100_000)
    assert host["PidsLimit"] == 99
    assert host["Binds"] == ["/data:/in:rw", "/more:/out:ro"]
    assert host["DeviceRequests"][0]["Count"] == -1
    assert host["ShmSize"] == 1 << 30
    assert config["User"] == "1000:1000"
