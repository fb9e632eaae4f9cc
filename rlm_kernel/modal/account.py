"""A Modal account: where its token is, and what to do about the SDK's errors."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_TOKEN = (
    "There is no Modal token. Run `modal setup` once, or set "  # noqa: S105 - a message
    "MODAL_TOKEN_ID and MODAL_TOKEN_SECRET."
)

_CREDENTIALS = (("token_id", "token_secret"), ("oauth_refresh_token", "oauth_client_id"))
"""Pairs of settings, each enough to log in; as variables they begin with ``MODAL_``."""


def token_source(environment: Mapping[str, str] = os.environ) -> str | None:
    """Say where Modal's SDK finds a token, never its value; None when there is none."""
    if environment.get("MODAL_IS_REMOTE") == "1":
        return "the Modal container that this runs in"
    file = Path(environment.get("MODAL_CONFIG_PATH") or "~/.modal.toml").expanduser()
    profile = _profile(file, environment.get("MODAL_PROFILE"))
    for names in _CREDENTIALS:
        in_environment = [bool(environment.get(f"MODAL_{name.upper()}")) for name in names]
        if all(in_environment):
            return "the environment"
        if all(here or profile.get(name) for here, name in zip(in_environment, names, strict=True)):
            return str(file)
    return None


def _profile(file: Path, name: str | None) -> dict[str, Any]:
    """Return the profile that the SDK uses: the named one, else the active one."""
    try:
        profiles = tomllib.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    named = {key: value for key, value in profiles.items() if isinstance(value, dict)}
    if name is not None:
        return named.get(name, {})
    active = [value for value in named.values() if value.get("active")]
    return active[0] if active else named.get("default", {})


def sdk() -> Any:
    """Return the package `modal`.

    Raises:
        SandboxError: It is not installed, or there is no token.
    """
    try:
        import modal
        import modal.exception
    except ImportError:
        raise SandboxError(
            "The package modal is missing: pip install 'rlm-kernel[modal]'."
        ) from None
    if token_source() is None:
        raise SandboxError(NO_TOKEN)
    return modal


def explained(error: BaseException) -> SandboxError:
    """Return an error that says what to do about an error of the SDK."""
    if isinstance(error, SandboxError):
        return error
    import modal.exception as modal_errors

    text = " ".join(str(error).split())[:500] or type(error).__name__
    if isinstance(error, modal_errors.AuthError | modal_errors.PermissionDeniedError):
        return SandboxError(
            f"Modal does not accept the token ({text}). Run `modal setup`, or set MODAL_TOKEN_ID "
            "and MODAL_TOKEN_SECRET to a token of the workspace."
        )
    if isinstance(error, modal_errors.AlreadyExistsError):
        return SandboxError(
            f"Modal refused: {text}. A sandbox's name may be used by one at a time: leave "
            "environment_kwargs['name'] out, or end the other (`modal sandbox list`)."
        )
    if isinstance(error, modal_errors.RemoteError):
        return SandboxError(
            f"Modal could not build the sandbox's image: {text}. Check environment_kwargs 'image' "
            "and 'packages'; `modal image list` and the app's page have the whole log."
        )
    if isinstance(
        error, modal_errors.ServiceError | modal_errors.ConnectionError | OSError | TimeoutError
    ):
        return SandboxError(
            f"Modal cannot be reached ({text}). Look at this machine's network and at "
            "https://status.modal.com."
        )
    return SandboxError(f"Modal refused: {text}")
