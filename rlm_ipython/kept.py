"""What `--persistent` keeps: one `RLM`, with its kernel, for each set of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.api.rlm import RLM


class KeptRLMs:
    """The persistent RLMs of one shell."""

    def __init__(self) -> None:
        self._kept: dict[str, RLM] = {}

    def rlm(self, arguments: dict[str, Any]) -> RLM:
        """Return the RLM of these settings, a new one at the first time.

        Args:
            arguments: What it is made with.

        Raises:
            RLMError: An argument is not allowed.
        """
        from rlm.api.rlm import RLM

        settings = repr(sorted(arguments.items()))
        if settings not in self._kept:
            self._kept[settings] = RLM(**arguments)
        return self._kept[settings]

    def close(self) -> int:
        """End them all, with their kernels and variables, and return how many there were."""
        kept = list(self._kept.values())
        self._kept.clear()
        for rlm in kept:
            rlm.close()
        return len(kept)

    def __len__(self) -> int:
        return len(self._kept)
