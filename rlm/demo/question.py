"""The demo's input, its question, and an independent count that checks the answer."""

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
"""The least characters of input for the demo."""

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
    """The four values that the question asks for.

    Attributes:
        raises: Lines that start with the statement.
        files: Files that have such a line.
        most: The file with the most such lines.
        in_it: The number of such lines in that file.
    """

    raises: int
    files: int
    most: str
    in_it: int


def collect(enough: int = ENOUGH) -> dict[str, str]:
    """Return the sources of the standard library, then of packages, as {path: text}.

    It stops adding packages at `enough` characters. It leaves out tests, because many distributions
    do not ship them.
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
    """Count the lines one by one, without a model or any code of the demo's model."""
    found = {}
    for path, text in sources.items():
        number = sum(line.lstrip(" \t").startswith(STATEMENT) for line in text.split("\n"))
        if number:
            found[path] = number
    most = min(found, key=lambda path: (-found[path], path), default="")
    return Count(raises=sum(found.values()), files=len(found), most=most, in_it=found.get(most, 0))


def read_answer(text: str) -> Count | None:
    """Read the closing line of an answer; None if it has none."""
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
            continue  # a broken link or another user's file, which the count leaves out too


_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
