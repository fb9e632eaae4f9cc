"""A context's hash, and which contexts a log holds themselves."""

from __future__ import annotations

import base64
import hashlib
import math
from typing import TYPE_CHECKING, Any

import pytest

from rlm.context import INLINE_LIMIT, describe, quick_fingerprint
from rlm_kernel.context.hash import hash_context
from rlm_kernel.context.value import context_value

if TYPE_CHECKING:
    from pathlib import Path


def test_the_hash_of_a_text_is_that_of_the_file_it_was_read_from(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    text = "Nenn mich Ismael. \u00e9\U0001f40b\n" * 100_000
    path.write_text(text, encoding="utf-8", newline="")
    found = hash_context(context_value(text))
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("", "text"),
        ("a\ud800\r\n\0", "text"),
        (None, "json"),
        ([], "json"),
        ({"a": [1, 2.5, True, None, "é"]}, "json"),
    ],
)
def test_a_small_value_is_in_the_log_itself(value: Any, form: str) -> None:
    found = describe(value).to_dict()
    assert found["form"] == form
    assert found["value"] == value
    assert len(found["sha256"]) == 64


def test_small_bytes_are_in_the_log_as_base64() -> None:
    found = describe(b"\xff\x00").to_dict()
    assert found["form"] == "bytes"
    assert base64.b64decode(found["value"]) == b"\xff\x00"
    assert found["sha256"] == hashlib.sha256(b"\xff\x00").hexdigest()


def test_64_kb_is_the_limit_and_counts_bytes() -> None:
    assert "value" in describe("x" * INLINE_LIMIT).to_dict()
    for value in ("x" * (INLINE_LIMIT + 1), "é" * (INLINE_LIMIT // 2 + 1), b"x" * 70_000):
        found = describe(value).to_dict()
        assert "value" not in found
        assert len(found["sha256"]) == 64


def test_a_pickled_value_is_identified_but_not_stored() -> None:
    for value in ({1: "a"}, [math.nan], [1 << 70]):
        found = describe(value).to_dict()
        assert found["form"] == "pickle"
        assert "value" not in found


def test_a_slow_hash_is_left_for_later() -> None:
    holds_itself: list[Any] = []
    holds_itself.append(holds_itself)
    big = ("x" * (1 << 21), ["x" * 1000] * 1000, object(), holds_itself, [[]] * 100_000)
    for value in big:
        assert quick_fingerprint(value) is None
        assert "sha256" not in describe(value).to_dict()


def test_equal_values_have_equal_hashes_and_others_do_not() -> None:
    first = hash_context(context_value({"a": ["x" * 1000] * 1000}))
    again = hash_context(context_value({"a": ["x" * 1000 for _ in range(1000)]}))
    other = hash_context(context_value({"a": ["x" * 1000] * 999}))
    assert first.sha256 == again.sha256 != other.sha256
