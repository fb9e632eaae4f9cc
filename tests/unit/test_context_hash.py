"""A context's hash: of what is written, taken once, whoever writes or asks first."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from rlm_kernel.context.hash import ContextHash, hash_context, written_hash
from rlm_kernel.context.load import load
from rlm_kernel.context.value import CHUNK_CHARACTERS, context_value
from rlm_kernel.context.write import write_context

if TYPE_CHECKING:
    from pathlib import Path

LONG = "aé\ud800" * CHUNK_CHARACTERS
VALUES: dict[str, tuple[Any, bytes]] = {
    "no text": ("", b""),
    "a long text": (LONG, LONG.encode("utf-8", "surrogatepass")),
    "long bytes": (b"ab" * CHUNK_CHARACTERS, b"ab" * CHUNK_CHARACTERS),
    "an empty list": ([], b"[]"),
    "a long list": (["x" * 400_000] * 7, json.dumps(["x" * 400_000] * 7).encode()),
    "many small items": (
        {str(n): n for n in range(200_000)},
        json.dumps({str(n): n for n in range(200_000)}).encode(),
    ),
    "a pickle": ((1, 2), pickle.dumps((1, 2), protocol=5)),
}


class FullDisk(io.RawIOBase):
    """Takes the first bytes, then no more."""

    def __init__(self) -> None:
        self.taken = 0

    def write(self, data: Any) -> int:
        self.taken += len(data)
        if self.taken > CHUNK_CHARACTERS:
            raise OSError("no space left")
        return len(data)


@pytest.mark.parametrize(("value", "written"), VALUES.values(), ids=VALUES.keys())
def test_the_hash_is_that_of_the_written_file(value: Any, written: bytes, tmp_path: Path) -> None:
    travelling = context_value(value)
    placed = write_context(travelling, tmp_path / "context")
    assert (tmp_path / "context").read_bytes() == written
    expected = ContextHash(
        form=travelling.form, bytes=len(written), sha256=hashlib.sha256(written).hexdigest()
    )
    assert hash_context(travelling) == hash_context(context_value(value)) == expected
    assert asyncio.run(written_hash(travelling)) == expected
    assert load(placed.path, placed.form) == value


def test_json_is_written_as_it_was_when_the_run_began() -> None:
    value = ["a"]
    travelling = context_value(value)
    value.append("b")
    file = io.BytesIO()
    found = hash_context(travelling, file)
    assert file.getvalue() == b'["a"]'
    assert found.sha256 == hashlib.sha256(b'["a"]').hexdigest()


def test_many_writers_at_once_write_all_of_it_and_agree_on_the_hash() -> None:
    travelling = context_value("xy" * 3 * CHUNK_CHARACTERS)
    files = [io.BytesIO() for _ in range(6)]
    found: list[ContextHash] = []
    threads = [
        threading.Thread(target=lambda f=f: found.append(hash_context(travelling, f)))
        for f in [*files, None, None]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads)
    assert set(found) == {hash_context(context_value("xy" * 3 * CHUNK_CHARACTERS))}
    assert {file.getvalue() for file in files} == {b"xy" * 3 * CHUNK_CHARACTERS}


def test_a_write_that_fails_leaves_the_hash_to_the_next_one() -> None:
    travelling = context_value("x" * 5 * CHUNK_CHARACTERS)

    async def main() -> None:
        waiting = asyncio.ensure_future(written_hash(travelling))
        with pytest.raises(OSError, match="no space left"):
            hash_context(travelling, FullDisk())  # type: ignore[arg-type]
        assert not waiting.done()
        found = hash_context(travelling, io.BytesIO())
        assert await waiting == found

    asyncio.run(main())


def test_who_gives_up_waiting_for_a_hash_takes_it_from_nobody() -> None:
    travelling = context_value("x")

    async def main() -> None:
        waiting = asyncio.ensure_future(written_hash(travelling))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        found = hash_context(travelling, io.BytesIO())
        assert await written_hash(travelling) == found

    asyncio.run(main())


def test_hashing_stops_when_it_is_told_to() -> None:
    with pytest.raises(asyncio.CancelledError):
        hash_context(context_value("x"), go_on=lambda: False)
