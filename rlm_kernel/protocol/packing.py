"""Packs Jupyter messages whose text may not be valid UTF-8: only lone surrogates are lost."""

from __future__ import annotations

import json
from typing import Any

from jupyter_client.session import json_packer


def pack(message: Any) -> bytes:
    """Return a message's JSON; one odd character must not cost the whole message."""
    try:
        return json_packer(message)
    except UnicodeEncodeError:
        return json.dumps(message, default=str, ensure_ascii=False).encode("utf-8", "replace")
