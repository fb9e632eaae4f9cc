"""Removes what crashed hosts left on a Docker engine: normally nothing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker.container_config import LABEL
from rlm_kernel.docker.engine import engine, explaining, is_missing
from rlm_kernel.docker.make_image import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.docker.stream import EngineAddress

_MADE_OF = f"{LABEL}.made-of"

YOUNG_SECONDS = 60
"""A younger container that has not started yet may be about to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something of ours on an engine: its id, as the engine lists it, and what it is."""

    id: str
    what: str


def left_containers(address: EngineAddress) -> list[Leftover]:
    """Return our containers that no host needs any more.

    A running one has a live host, or it would end by itself: we leave it alone. The others were
    made by a host that died before it started or removed them.

    Raises:
        SandboxError: The engine cannot be reached.
    """
    with explaining(address):
        found = engine(address).containers(all=True, filters={"label": LABEL})
    return [
        Leftover(id=entry["Id"][:12], what=_description(entry))
        for entry in found
        if entry["State"] != "running" and time.time() - entry["Created"] > YOUNG_SECONDS
    ]


def made_images(address: EngineAddress) -> list[Leftover]:
    """Return the images that we have made.

    Raises:
        SandboxError: The engine cannot be reached.
    """
    with explaining(address):
        found = engine(address).images(name=REPOSITORY, filters={"label": _MADE_OF})
    return [
        Leftover(
            id=tag,
            what=f"{tag}, made of {entry['Labels'][_MADE_OF]}, {entry['Size'] / 1e6:.0f} MB",
        )
        for entry in found
        for tag in entry.get("RepoTags") or ()
    ]


def remove_containers(address: EngineAddress, left: list[Leftover]) -> None:
    """Remove the containers that are not gone already.

    Raises:
        SandboxError: The engine refused.
    """
    _remove(address, left, lambda one: engine(address).remove_container(one.id, force=True, v=True))


def remove_images(address: EngineAddress, left: list[Leftover]) -> None:
    """Remove the images that are not gone already.

    Raises:
        SandboxError: The engine refused: a container may be using one.
    """
    _remove(address, left, lambda one: engine(address).remove_image(one.id))


def _remove(
    address: EngineAddress, left: list[Leftover], remove: Callable[[Leftover], object]
) -> None:
    for one in left:
        with explaining(address):
            try:
                remove(one)
            except Exception as error:
                if not is_missing(error):
                    raise


def _description(entry: dict[str, Any]) -> str:
    labels = entry["Labels"]
    pid = labels.get(f"{LABEL}.pid", "?")
    mine = " (this process)" if pid == str(os.getpid()) else ""
    age = int(time.time() - entry["Created"])
    what = f"{labels[LABEL]} container {entry['Id'][:12]}"
    return f"{what}, {entry['State']}, {age} s old, of process {pid}{mine}"
