"""Masks secrets in events and texts before they leave Python's objects.

`rlm.logger.delivery` masks each event on its way from the engine to the readers. Objects in Python
(`result.answer`, `result.trajectory`) are not masked; saving or showing them masks the secrets.
"""

from __future__ import annotations

import marshal
import os
import threading
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from rlm.errors import ConfigurationError
from rlm.events import CallUsage, RunStarted
from rlm.secret_values import MASK, long_secrets, public_kwargs, spellings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rlm.events import Event

_STRUCTURE = frozenset({"id", "parent_id", "run_id", "time", "status", "kind", "purpose"})
"""Fields that say where an event belongs and what it is; they hold no text of others."""

_KWARGS = ("backend_kwargs", "environment_kwargs")

_of_runs: set[str] = set()


class _HandedOver(threading.local):
    """The masked event that a delivery hands to a reader on this thread."""

    event: Event | None = None


_handed_over = _HandedOver()


def hand_over(event: Event, on_event: Callable[[Event], object]) -> None:
    """Give a reader an event that is masked: a reader's own `Redaction` does not mask it again."""
    _handed_over.event = event
    try:
        on_event(event)
    finally:
        _handed_over.event = None


def known_secrets() -> tuple[str, ...]:
    """Return the secrets in this process's environment and those given to runs, in every spelling.

    The longest come first, because one may be a part of another. No kernel gets the environment's,
    but code on this machine may find them all the same. Those in a run's `environment_kwargs` are
    in its kernels.
    """
    found = _of_runs.union(*map(spellings, long_secrets(dict(os.environ))))
    return tuple(sorted(found, key=len, reverse=True))


def remember_secrets(secrets: Iterable[str]) -> None:
    """Mask the secrets of a run's configuration from now on, until the process ends.

    The configuration in the run's record does not have them, but its texts may, and a copy of the
    record may live as long as the process.
    """
    _of_runs.update(*map(spellings, secrets))


class Redaction:
    """Masks the known secrets in events, then applies `redacted_event` with `redact`.

    The secrets are those of `known_secrets`, in any text: a cell may print what its kernel was
    given, and a model may repeat it. They are looked up again with each root run.

    Args:
        redact: As for `redacted_event`.

    Raises:
        ConfigurationError: `redact` is not callable.
    """

    def __init__(self, redact: Callable[[str], str] | None = None) -> None:
        if redact is not None and not callable(redact):
            raise ConfigurationError(f"redact must be callable, not {redact!r:.80}.")
        self._redact = redact
        self._look()

    def __call__(self, event: Event) -> Event:
        """Return an event that anyone may see; the event itself when there is nothing to hide."""
        if event is not _handed_over.event:
            if isinstance(event, RunStarted) and event.parent_id is None:
                self._look()
            if self._secrets and self._may_hold_one(event):
                event = redacted_event(event, self._masked)
        return redacted_event(event, self._redact)

    def text(self, text: str) -> str:
        """Mask a text that is not part of an event, and return it.

        Args:
            text: Any text.
        """
        text = self._masked(text)
        return text if self._redact is None else self._redact(text)

    def keeps(self, data: bytes) -> bool:
        """Return whether there is nothing to mask in bytes.

        Args:
            data: Any bytes. Only a user's rule has them decoded, at 100 MB a second.
        """
        if self._holds_one(data):
            return False
        if self._redact is None:
            return True
        text = data.decode("utf-8", "replace")
        return self._redact(text) == text

    def _look(self) -> None:
        """Look up the secrets: each run may have others."""
        self._secrets = known_secrets()
        self._as_bytes = [secret.encode("utf-8", "surrogatepass") for secret in self._secrets]

    def _may_hold_one(self, event: Event) -> bool:
        """Whether a secret may be in an event: a quick look at all its texts."""
        if isinstance(event, RunStarted) and event.context.get("form") == "bytes":
            return True  # They are in base64, which hides what is in them.
        values = [getattr(event, field.name) for field in fields(event)]
        try:
            data = marshal.dumps([value for value in values if not isinstance(value, CallUsage)])
        except ValueError:  # Nested too deeply for marshal.
            return True
        return self._holds_one(data)

    def _holds_one(self, data: bytes) -> bool:
        return any(secret in data for secret in self._as_bytes)

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def redacted_event(event: Event, redact: Callable[[str], str] | None = None) -> Event:
    """Return an event without secrets in a configuration, and with a rule applied to its texts.

    Keys, tokens and headers are left out of a run's configuration. A context that the rule changes
    is left out whole: its hash is that of the unchanged one, and no replay could use it. When there
    is nothing to hide, the event itself is returned.

    Args:
        event: Any event.
        redact: The rule: called with every text, at any depth; returns what may be kept of it.
    """
    if isinstance(event, RunStarted):
        public = _public_config(event.config)
        if public != event.config:
            event = replace(event, config=public)
    if redact is None:
        return event
    changed: dict[str, Any] = {}
    for field in fields(event):
        if field.name not in _STRUCTURE:
            value = getattr(event, field.name)
            kept = _kept(value, redact)
            if field.name == "context":
                kept = _kept_context(value, kept, redact)
            if kept is not value:
                changed[field.name] = kept
    return replace(event, **changed) if changed else event


def _public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    public = dict(config)
    for name in _KWARGS:
        if isinstance(public.get(name), dict):
            public[name] = public_kwargs(public[name])
    return public


def _kept_context(
    context: Mapping[str, Any], kept: dict[str, Any], redact: Callable[[str], str]
) -> dict[str, Any]:
    value = context.get("value")
    if value is None:
        return kept
    if context.get("form") == "bytes" and isinstance(value, str):
        from base64 import b64decode

        text = b64decode(value).decode("utf-8", "replace")
        whole = redact(text) == text
    else:
        whole = kept["value"] is value
    return kept if whole else {name: item for name, item in kept.items() if name != "value"}


def _kept(value: Any, redact: Callable[[str], str]) -> Any:
    """Apply a rule to a value's texts; the value itself is returned when none changes."""
    if isinstance(value, str):
        text = redact(value)
        return value if text == value else text
    if isinstance(value, list | tuple):
        items = [_kept(item, redact) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return type(value)(items)
    if isinstance(value, dict):
        pairs = [(_kept(key, redact), _kept(item, redact)) for key, item in value.items()]
        same = all(
            key is old_key and item is old
            for (key, item), (old_key, old) in zip(pairs, value.items(), strict=True)
        )
        return value if same else dict(pairs)
    assert value is None or isinstance(value, bool | int | float | CallUsage)
    return value
