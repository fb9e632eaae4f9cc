"""The fixture `modal`: the SDK finds the stand-in, with nobody's account."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modal_standin.server import ModalStandIn


@pytest.fixture
def modal(
    require: Callable[[object, str], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModalStandIn]:
    """A stand-in for Modal runs; everything in it ends with the test."""
    require(importlib.util.find_spec("modal"), "the package modal")
    import modal as sdk

    from modal_standin.machine import trouble
    from modal_standin.server import ModalStandIn

    require(trouble() is None, f"sandboxes on this machine: {trouble()}")
    with ModalStandIn() as stand_in:
        for name, value in stand_in.environment.items():
            monkeypatch.setenv(name, value)
        try:
            yield stand_in
        finally:
            sdk.Client.from_env().close()
