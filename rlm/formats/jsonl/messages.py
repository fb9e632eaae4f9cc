"""Messages as the reference's log has them: `content` is text, also of a message with images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.events import Message

_PARTS = "content_parts"


def logged_message(message: Message) -> Message:
    """Return a message for a log; one of several parts says in text what they are.

    The reference's visualizer shows text only and fails on a list. The parts themselves are in
    another field, which it ignores.
    """
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    return {**message, "content": "\n".join(map(_part_text, parts)), _PARTS: parts}


def sent_message(message: Message) -> Message:
    """Return the message that was given to `logged_message`; the log may be anyone's."""
    if not isinstance(message.get(_PARTS), list):
        return message
    sent = {name: value for name, value in message.items() if name != _PARTS}
    return sent | {"content": message[_PARTS]}


def _part_text(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    if isinstance(part.get("text"), str):
        return str(part["text"])
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else None
    if isinstance(url, str) and url.startswith("data:"):
        return f"[{url[5:].partition(';')[0]:.80}]"
    return f"[{part.get('type') or 'a part'!s:.80}]"
