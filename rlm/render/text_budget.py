"""How much text of a run the HTML holds: each text, and all texts together, have a limit."""

from __future__ import annotations

_WHEN_FULL = 120
_CALLS_WHEN_FULL = 5


class TextBudget:
    """Counts the characters left for texts, and the sub-calls that are shown one by one.

    Once no characters are left, texts are cut to a few words. Of `each`, a text may have a `share`.

    Args:
        total: Characters of all texts together.
        each: Characters of one text.
        calls: Sub-calls of all groups together; later groups show few.
    """

    def __init__(self, *, total: int, each: int, calls: int) -> None:
        self._left = total
        self._each = each
        self._calls_left = calls

    def head(self, text: str, share: float = 1.0) -> tuple[str, str]:
        """Return the beginning of a text, and a note on the rest; empty when there is none."""
        limit = self._limit(share)
        self._left -= min(len(text), limit)
        if len(text) <= limit:
            return text, ""
        return text[:limit], f"… {len(text) - limit:,} more characters"

    def ends(self, text: str, share: float = 1.0) -> str:
        """Return a text; of a long one the beginning and the end, with a note between them."""
        limit = self._limit(share)
        self._left -= min(len(text), limit)
        if len(text) <= limit:
            return text
        tail = limit // 3
        left_out = len(text) - limit
        return f"{text[: limit - tail]}\n… {left_out:,} more characters …\n{text[-tail:]}"

    def holds(self, text: str) -> bool:
        """Return whether a text that cannot be cut fits; if so, count it."""
        if len(text) > self._left:
            return False
        self._left -= len(text)
        return True

    def calls(self, wanted: int) -> int:
        """Return how many sub-calls of a group may be shown, and count them."""
        granted = min(wanted, max(self._calls_left // 4, _CALLS_WHEN_FULL))
        self._calls_left -= granted
        return granted

    def _limit(self, share: float) -> int:
        return int(self._each * share) if self._left > 0 else _WHEN_FULL
