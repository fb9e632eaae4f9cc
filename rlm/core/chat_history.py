"""The messages of one run's chat: which of them are new, and how long the chat is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm.core.model_calls import count_characters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rlm.events import CallUsage, Message


class ChatHistory:
    """A growing chat; it knows which messages are new, and about how many tokens it has.

    Attributes:
        messages: The chat; every request sends all of it.
    """

    def __init__(self, opening: Iterable[Message]) -> None:
        self.messages: list[Message] = list(opening)
        self._sent = 0
        self._counted = 0
        self._counted_messages = 0

    def add(self, *messages: Message) -> None:
        """Append messages."""
        self.messages.extend(messages)

    def replace(self, messages: list[Message], *, kept: int) -> None:
        """Replace the messages; the first `kept` are the same as before."""
        self.messages = messages
        self._sent = min(self._sent, kept)
        self._counted = self._counted_messages = 0

    def news(self) -> tuple[int, tuple[Message, ...]]:
        """Return how many messages were sent before, and the rest, which now count as sent."""
        kept, self._sent = self._sent, len(self.messages)
        return kept, tuple(self.messages[kept:])

    def counted(self, usage: CallUsage) -> None:
        """Note the provider's count of the tokens of the chat as it is now."""
        if usage.input_tokens:
            self._counted = usage.input_tokens
            self._counted_messages = len(self.messages)

    def tokens(self, characters_per_token: float) -> int:
        """Estimate the chat's tokens: the provider's count, and an estimate of what came after."""
        rest = count_characters(self.messages[self._counted_messages :])
        return self._counted + round(rest / characters_per_token)

    @property
    def characters(self) -> int:
        """How many characters of text the chat has."""
        return count_characters(self.messages)
