"""Reads the environment variables of one provider, and of no other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlm.backends.providers import Provider


class ProviderEnvironment:
    """Reads the environment variables of one provider.

    Attributes:
        provider: The backend's row of the table.
        applies: Whether its other variables than the key belong to the address in use.
    """

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.applies = True

    def get(self, suffix: str) -> str | None:
        """Return `PREFIX_suffix`, or None when it is unset, blank or for another address."""
        prefix = self.provider.variables
        return self.key(f"{prefix}_{suffix}") if prefix and self.applies else None

    def key(self, name: str | None = None) -> str | None:
        """Return the key in a variable, by default the provider's; None if it is unset or blank."""
        name = name or self.provider.key_variable
        return (os.environ.get(name, "").strip() or None) if name else None

    def base_url(self) -> str | None:
        """Return the provider's address from the environment."""
        return self.get("BASE_URL") if self.provider.base_url else None

    def custom_headers(self) -> dict[str, str]:
        """Return the headers in `..._CUSTOM_HEADERS`: one per line, as both SDKs read them."""
        lines = (self.get("CUSTOM_HEADERS") or "").split("\n")
        pairs = (line.partition(":") for line in lines if ":" in line)
        return {name.strip(): value.strip() for name, _, value in pairs}
