"""The events that a notebook's cells hold, put in order and read, each blamed on its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm.formats.notebook.outputs import recorded_output
from rlm.formats.notebook.values import Reader
from rlm.trajectory import TrajectoryError, event_from_dict

if TYPE_CHECKING:
    from rlm.events import Event
    from rlm.formats.notebook.pages import File, Page
    from rlm.formats.notebook.values import Place


class Record:
    """The events of a notebook.

    Attributes:
        events: In the order in which they happened.
        pages: The cell that holds each.
        changed: Cells whose outputs are not those that were recorded, by position: the outputs
            that were written there are empty in `events`.
    """

    def __init__(self, file: File, changed: set[int]) -> None:
        """Read all events.

        Args:
            file: The notebook.
            changed: Cells whose outputs are not to be believed.

        Raises:
            TrajectoryError: One is missing, there twice, or cannot be read.
        """
        self.changed = changed
        self._lines: list[dict[str, Any]] = []
        self.pages: list[Page] = []
        self._collect(file)
        self._page: Page | None = None
        self._found: dict[Place, str] = {}
        self._reader = Reader(self._find, self._output)
        self.events: list[Event] = [self._event(number) for number in range(len(self._lines))]

    def _collect(self, file: File) -> None:
        found: dict[int, tuple[dict[str, Any], Page]] = {}
        for page in file.pages:
            lines = page.record.get("events", [])
            if not isinstance(lines, list):
                raise TrajectoryError(f"{page.name}: its events are no list.")
            for line in lines:
                number = line.get("n") if isinstance(line, dict) else None
                if type(number) is not int or number < 0:
                    raise TrajectoryError(f"{page.name}: an event without a number.")
                if number in found:
                    other = found[number][1]
                    raise TrajectoryError(
                        f"{page.name}: event {number} is there twice, also in cell "
                        f"{other.position}. Was a cell copied?"
                    )
                found[number] = (line, page)
        total = file.record.get("events")
        if type(total) is not int or total < 0:
            raise TrajectoryError(f"The notebook does not say how many events it has: {total!r}.")
        self._check_complete(found, total)
        for number in range(total):
            line, page = found[number]
            self._lines.append(line)
            self.pages.append(page)

    @staticmethod
    def _check_complete(found: dict[int, tuple[dict[str, Any], Page]], total: int) -> None:
        if extra := sorted(number for number in found if number >= total):
            page = found[extra[0]][1]
            raise TrajectoryError(
                f"{page.name}: event {extra[0]} is none of this run's {total}. Was the cell "
                "copied from another notebook?"
            )
        if len(found) == total:
            return
        missing = next(number for number in range(total) if number not in found)
        before = max((number for number in found if number < missing), default=None)
        where = "at the beginning" if before is None else f"after {found[before][1].name.lower()}"
        raise TrajectoryError(
            f"{total - len(found)} of {total} events are missing, the first of them {where}. "
            "Was a cell deleted?"
        )

    def _event(self, number: int) -> Event:
        self._page = page = self.pages[number]
        try:
            data = {
                str(name): self._reader.value(value)
                for name, value in self._lines[number].items()
                if name != "n"
            }
            return event_from_dict(data)
        except TrajectoryError as error:
            raise TrajectoryError(f"{page.name}: event {number}: {error}") from None
        except RecursionError:
            raise TrajectoryError(f"{page.name}: event {number} never ends.") from None

    def _find(self, place: Place) -> str:
        """Return the text that stands at a place; once made, it is not made of its parts again."""
        try:
            if place in self._found:
                return self._found[place]
            number, *keys = place
            if type(number) is not int or number < 0:
                raise ValueError(number)  # noqa: TRY301 - told below
            value: Any = self._lines[number]
            for key in keys:
                value = value[key]
        except (LookupError, TypeError, ValueError):
            raise TrajectoryError(f"It names a text that is not there: {place!r:.80}.") from None
        text = self._reader.value(value)
        if not isinstance(text, str):
            raise TrajectoryError(f"It names a text that is none: {place!r:.80}.")
        self._found[place] = text
        return text

    def _output(self, where: Any) -> Any:
        assert self._page is not None
        if self._page.position in self.changed:
            return {}
        return recorded_output(self._page.outputs, where)
