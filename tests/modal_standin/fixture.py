"""The fixture `modal`: the SDK finds the stand-in, with nobody's account, or a real one."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from rlm_kernel.modal.account import token_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modal_standin.server import ModalStandIn

MODAL_KWARGS: dict[str, Any] = {
    "app_name": "rlm-kernel-tests",
    "timeout": 900,
    "packages": ["pandas"],
}
"""What the tests' sandboxes are made with: on a real account they are easy to find and end soon."""


@pytest.fixture
def modal(
    request: pytest.FixtureRequest,
    require: Callable[[object, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ModalStandIn | None]:
    """A stand-in for Modal runs, and everything in it ends with the test.

    A test that is marked as live gets None, and the SDK finds the account of the token.
    """
    require(importlib.util.find_spec("modal"), "the package modal")
    import modal as sdk

    is_live = request.node.get_closest_marker("live") is not None
    with nullcontext() if is_live else _stand_in(require) as stand_in:
        if stand_in is None:
            require(token_source(), "a Modal token (MODAL_TOKEN_ID and MODAL_TOKEN_SECRET)")
        else:
            for name, value in stand_in.environment.items():
                monkeypatch.setenv(name, value)
        try:
            yield stand_in
        finally:
            sdk.Client.from_env().close()


def _stand_in(require: Callable[[object, str], None]) -> AbstractContextManager[ModalStandIn]:
    from modal_standin.machine import trouble
    from modal_standin.server import ModalStandIn

    require(trouble() is None, f"sandboxes on this machine: {trouble()}")
    return ModalStandIn()
