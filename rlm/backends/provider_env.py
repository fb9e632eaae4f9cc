"""The environment variables of one provider, and of no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlm.backends.providers import Provider


class ProviderEnvironment:
    """Reads the environment variables of one provider.

    Attributes:
        provider: The backend's row of the table.
        applies: Whether its variables other than the key are meant for the address in use.
    """

    def __init__(self, provider: Provider, variables: Mapping[str, str]) -> None:
        self.provider = provider
        self.applies = True
        self._variables = variables

    def get(self, suffix: str) -> str | None:
        """Return `PREFIX_suffix`, or None when it is unset, blank or not for this address."""
        prefix = self.provider.variables
        return self.key(f"{prefix}_{suffix}") if prefix and self.applies else None

    def key(self, name: str | None = None) -> str | None:
        """Return a key by its variable's name (the provider's own by default); None for a blank."""
        name = name or self.provider.key_variable
        return (self._variables.get(name, "").strip() or None) if name else None

    def base_url(self) -> str | None:
        """Return the address that the environment names for the provider."""
        return self.get("BASE_URL") if self.provider.base_url else None

    def custom_headers(self) -> dict[str, str]:
        """Return the headers of `..._CUSTOM_HEADERS`: one a line, as both SDKs read them."""
        lines = (self.get("CUSTOM_HEADERS") or "").split("\n")
        pairs = (line.partition(":") for line in lines if ":" in line)
        return {name.strip(): value.strip() for name, _, value in pairs}
