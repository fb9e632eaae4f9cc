"""Finds the recorded answer to a call: how a replayed run is answered from its log.

A call is matched within its cell by the hash of its kind, model and prompt, because concurrent
calls arrive in any order; equal calls are matched in order. Addresses of objects and names of
temporary files in a prompt make no difference.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = 1
"""The schema number of the recorded calls in a notebook's first cell."""

_CANDIDATES = 50
"""Recorded prompts that are compared to find the nearest: those closest in length."""

_COMPARED = 2000
"""Characters that are compared where two prompts differ."""

_AROUND = 40
"""Characters that are shown on both sides of the first difference."""

_NOISE = re.compile(r"(?<=0x)[0-9a-fA-F]{6,16}\b|(?<=ipykernel_)\d+(?:[/\\]\d+\.py)?")


def masked(text: str) -> str:
    """Return a text with addresses and a kernel's temporary files replaced by ``...``."""
    return _NOISE.sub("...", text) if "0x" in text or "ipykernel_" in text else text


def prompt_text(prompt: Any) -> str:
    """Return a prompt as text: a list of messages as its JSON."""
    return prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True)


def digest(kind: str, model: str, prompt: Any) -> str:
    """Return the hash of a call's kind, model (or tool) and prompt."""
    asked = json.dumps([kind, model, prompt], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:32]


def code_digest(code: str) -> str:
    """Return the hash of a cell's code, whatever front ends do to its last line."""
    return hashlib.sha256(code.strip().encode("utf-8", "replace")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedCall:
    """A call of the log.

    Attributes:
        kind: ``"llm"``, ``"rlm"`` or ``"tool"``.
        model: The model's name, or the tool's.
        digest: The call's `digest`.
        masked: The `digest` of the call with its prompt `masked`.
        text: The prompt; empty where only its hash is known.
        place: Where the call was made, such as ``"turn 2, cell 1"``.
        outcome: The answer.
    """

    kind: str
    model: str
    digest: str
    masked: str
    text: str
    place: str
    outcome: Any

    @classmethod
    def of(cls, kind: str, model: str, prompt: Any, *, place: str, outcome: Any) -> RecordedCall:
        """Return the record of a call."""
        text = prompt_text(prompt)
        quiet = masked(text)
        found = digest(kind, model, prompt)
        return cls(
            kind=kind,
            model=model,
            digest=found,
            masked=found if quiet is prompt else digest(kind, model, quiet),
            text=text,
            place=place,
            outcome=outcome,
        )


class RecordedCalls:
    """The calls of one cell (or of several), in order; each answers once.

    Overlapping collections share `used`, the ids of the calls that have answered.
    """

    def __init__(self, calls: Iterable[RecordedCall], used: set[int] | None = None) -> None:
        self._all = list(calls)
        self._used: set[int] = set() if used is None else used
        self._exact = _index((call.digest, call) for call in self._all)
        self._masked = _index((call.masked, call) for call in self._all)

    def take(self, kind: str, model: str, prompt: Any) -> RecordedCall | None:
        """Return the next unused call that matches, and use it; None when there is none."""
        found = self._next(self._exact, digest(kind, model, prompt))
        if found is None:
            found = self._next(self._masked, digest(kind, model, masked(prompt_text(prompt))))
        if found is not None:
            self.use(found)
        return found

    def use(self, call: RecordedCall) -> None:
        """Mark a call as answered."""
        self._used.add(id(call))

    def nearest(self, kind: str, prompt: Any) -> tuple[RecordedCall, float] | None:
        """Return the recorded call with the most similar prompt, and the similarity (0 to 1).

        Unused calls come first. None when there was no call of this kind.
        """
        same = [call for call in self._all if call.kind == kind and call.text]
        text = prompt_text(prompt)
        for calls in ([c for c in same if id(c) not in self._used], same):
            near = sorted(calls, key=lambda call: abs(len(call.text) - len(text)))[:_CANDIDATES]
            if near:
                best = max(near, key=lambda call: likeness(call.text, text))
                return best, likeness(best.text, text)
        return None

    def why_not(self, kind: str, model: str, prompt: Any) -> str:
        """Say why `take` found nothing: what differs from the nearest recorded prompt."""
        asked = digest(kind, model, prompt)
        times = sum(call.digest == asked for call in self._all)
        if times:
            return f"the log has this call {times} time{'s' * (times > 1)}, and no more often"
        found = self.nearest(kind, prompt)
        if found is None:
            return "the log has no such call there"
        call, alike = found
        if call.model != model and likeness(call.text, prompt_text(prompt)) == 1:
            return f"the log has it to {call.model!r} and not to {model!r}"
        return (
            f"the nearest recorded prompt ({call.place}, {alike:.0%} alike) differs:\n"
            f"{difference(call.text, prompt_text(prompt))}"
        )

    def _next(self, index: dict[str, deque[RecordedCall]], key: str) -> RecordedCall | None:
        waiting = index.get(key)
        while waiting:
            call = waiting.popleft()
            if id(call) not in self._used:
                return call
        return None


def likeness(one: str, two: str) -> float:
    """Return the similarity of two texts (1: equal); fast also for long ones."""
    if one == two:
        return 1.0
    before, after = _shared(one, two)
    rest_one, rest_two = one[before : len(one) - after], two[before : len(two) - after]
    matcher = difflib.SequenceMatcher(None, rest_one[:_COMPARED], rest_two[:_COMPARED], False)  # noqa: FBT003 - autojunk is positional in 3.11's stubs
    shared = before + after + matcher.quick_ratio() * min(len(rest_one), len(rest_two))
    return min(shared / max(len(one), len(two)), 0.999)


def difference(recorded: str, asked: str) -> str:
    """Return two lines: both texts around the first place where they differ."""
    before, _ = _shared(recorded, asked)
    start = max(0, before - _AROUND)
    lines = []
    for name, text in (("recorded", recorded), ("asked", asked)):
        shown = text[start : before + _AROUND]
        head = "..." if start else ""
        tail = "..." if before + _AROUND < len(text) else ""
        lines.append(f"  {name + ':':<10}{head}{shown!r}{tail}")
    return "\n".join(lines)


def _shared(one: str, two: str) -> tuple[int, int]:
    """Return the lengths of two texts' common prefix and, after it, common suffix."""
    most = min(len(one), len(two))
    before = _longest(most, lambda n: one[:n] == two[:n])
    after = _longest(most - before, lambda n: one[len(one) - n :] == two[len(two) - n :])
    return before, after


def _longest(most: int, holds: Any) -> int:
    """Return the largest n up to `most` for which `holds(n)`, which holds for all smaller n."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _index(pairs: Iterable[tuple[str, RecordedCall]]) -> dict[str, deque[RecordedCall]]:
    index: dict[str, deque[RecordedCall]] = {}
    for key, call in pairs:
        index.setdefault(key, deque()).append(call)
    return index
