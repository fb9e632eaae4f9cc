"""The demo's input, its question, and a plain count by other means to check the answer with."""

from __future__ import annotations

import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlm.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENOUGH = 10_000_000
"""Characters of input that the demo wants at least."""

STATEMENT = "raise NotImplementedError"

QUESTION = f"""\
The context holds Python source files: {{path: text}}. Python code leaves something to subclasses
or to the future with `{STATEMENT}`. How many lines start (after their
indentation) with `{STATEMENT}`, in how many files, and which file has most of
them (of several, the alphabetically first)? Which class or function of that file has most?
Close with a line of this form:
raises=NUMBER; files=NUMBER; most=PATH; in_it=NUMBER"""

_CLOSING = re.compile(r"raises=([\d,]+); *files=([\d,]+); *most=`?([^;`\n]+)`?; *in_it=([\d,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What the question asks for.

    Attributes:
        raises: Lines that start with the statement.
        files: Files that have such a line.
        most: The file that has most of them.
        in_it: How many that file has.
    """

    raises: int
    files: int
    most: str
    in_it: int


def collect(enough: int = ENOUGH) -> dict[str, str]:
    """Return the standard library's own sources as {path: text}, and packages' until it is enough.

    Tests are left out: many distributions do not ship them.

    Args:
        enough: Characters wanted at least.

    Raises:
        ConfigurationError: This machine has no sources, or too few.
    """
    library = Path(sysconfig.get_path("stdlib"))
    packages = Path(sysconfig.get_path("purelib"))
    sources = dict(_read(library, ""))
    size = sum(map(len, sources.values()))
    for path, text in _read(packages, "site-packages/"):
        if size >= enough:
            break
        sources[path] = text
        size += len(text)
    if size < enough:
        raise ConfigurationError(
            f"The demo reads {enough:,} characters of Python sources, and found {size:,} in "
            f"{library} and {packages}. Run it with a Python that ships its sources."
        )
    return sources


def count(sources: Mapping[str, str]) -> Count:
    """Count the lines one by one: no model, no regular expression, none of the demo's code."""
    found = {}
    for path, text in sources.items():
        number = sum(line.lstrip(" \t").startswith(STATEMENT) for line in text.split("\n"))
        if number:
            found[path] = number
    most = min(found, key=lambda path: (-found[path], path), default="")
    return Count(raises=sum(found.values()), files=len(found), most=most, in_it=found.get(most, 0))


def read_answer(text: str) -> Count | None:
    """Return what an answer's closing line says; None when it has no such line."""
    closing = _CLOSING.findall(text)
    if not closing:
        return None
    raises, files, most, in_it = closing[-1]
    numbers = [int(number.replace(",", "")) for number in (raises, files, in_it)]
    return Count(raises=numbers[0], files=numbers[1], most=most.strip(), in_it=numbers[2])


def _read(folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if not _LEFT_OUT.isdisjoint(inside.parts):
            continue
        try:
            yield prefix + inside.as_posix(), path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # a broken link or a file of another user: the count is over what was read


_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
