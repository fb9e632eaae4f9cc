"""The rows for the keys of `environment_kwargs`; see docs/environments.md for more on each."""

from __future__ import annotations

from typing import Any

from rlm.run_options.option import ENVIRONMENT, Flag, FromLog, RunOption

_CONTAINER = Flag(group="environment")


def _key(
    name: str, kind: str, meaning: str, from_log: FromLog = "given again", default: Any = None
) -> RunOption:
    return RunOption(name, kind, meaning, place=ENVIRONMENT, from_log=from_log, default=default)


ENVIRONMENT_KEYS: tuple[RunOption, ...] = (
    # Every environment.
    _key("setup_code", "str | None", "code that runs first in every new kernel", "taken"),
    _key("memory_limit", "int | str | None", 'memory of one kernel, such as "4g"', "only lower"),
    _key("output_limit", "int | None", "characters that one cell may write", "taken"),
    _key("env", "dict[str, str] | None", "variables added to the kernels' scrubbed environment"),
    # Docker and Modal.
    RunOption(
        "image",
        "str | None",
        "the image of the container or Modal sandbox",
        place=ENVIRONMENT,
        metavar="NAME",
        from_log="taken",
        trait="image",
        doors={
            "run": _CONTAINER,
            "build": Flag(help="the image to start from (default: python:3.11-slim)"),
            "magic": _CONTAINER,
        },
    ),
    RunOption(
        "packages",
        "list[str] | None",
        "a package that pip installs into the image; may be repeated",
        place=ENVIRONMENT,
        flag="package",
        metavar="REQUIREMENT",
        from_log="taken",
        doors={"run": _CONTAINER, "build": Flag()},
    ),
    _key("volumes", "dict[str, Any] | None", "folders or volumes to mount"),
    _key("workdir", "str | None", "the working directory of cells", "taken"),
    # Docker.
    RunOption(
        "build_network",
        "str",
        "pip's network (default: bridge)",
        place=ENVIRONMENT,
        default="bridge",
        metavar="NAME",
        doors={"build": Flag()},
    ),
    RunOption(
        "pip_index_url",
        "str | None",
        "where pip finds packages",
        place=ENVIRONMENT,
        metavar="URL",
        doors={"build": Flag()},
    ),
    _key("network", "str", "the kernels' network mode", default="none"),
    _key("mem_limit", "int | str", "memory of the whole container", "only lower", 4 << 30),
    _key("cpus", "float | None", "processors it may use at once; None: all", "only lower", 4.0),
    _key("pids_limit", "int", "processes and threads of the whole container", "only lower", 2048),
    _key("gpus", "str | int | list[str] | None", "all, a number, or a list of device ids"),
    _key("user", "str", "the user, as uid:gid", default="65534:65534"),
    _key("shm_size", "int | str", "the size of /dev/shm", "only lower", 64 << 20),
    _key("reuse", "bool", "keep a cleaned container for the next run", default=False),
    # Modal.
    _key("app_name", "str", "the Modal app of the sandboxes", "taken", "rlm-kernel"),
    _key("timeout", "int", "seconds after which Modal ends a sandbox", "only lower", 3600),
    _key(
        "cpu",
        "float | tuple[float, float] | None",
        "cores to reserve, or (reserve, limit)",
        "taken",
    ),
    _key(
        "memory", "int | str | tuple | None", 'memory to reserve, in MiB or such as "4g"', "taken"
    ),
    _key("gpu", "str | None", "such as T4 or A100:2", "taken"),
    _key("region", "str | list[str] | None", "a region, or a list of them", "taken"),
    _key("idle_timeout", "int | None", "seconds unused after which Modal ends it", "taken"),
    _key("block_network", "bool", "give cells no network", default=True),
    _key("outbound_domain_allowlist", "list[str] | None", "the domains that cells may reach"),
    _key("secrets", "list | None", "secrets that every cell can read"),
    _key("name", "str | None", "the sandbox's name"),
    _key("tags", "dict[str, str] | None", "tags of the sandbox"),
    _key(
        "reconnect_timeout", "float", "seconds to wait for a lost connection to Modal", default=60.0
    ),
)
