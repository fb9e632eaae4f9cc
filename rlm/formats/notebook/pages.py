"""The cells of a notebook's file, as far as they are ours, each with where it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rlm.formats.notebook.writer import NAMESPACE, SCHEMA
from rlm.trajectory import TrajectoryError
from rlm.trajectory.codec import other_schema

_NBFORMAT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A cell of ours.

    Attributes:
        position: 1 for the notebook's first cell.
        id: The notebook cell's id.
        cell_type: `code` or `markdown`.
        source: What stands in it now.
        outputs: What it shows now.
        execution_count: As it is now.
        record: Our metadata.
    """

    position: int
    id: str
    cell_type: str
    source: str
    outputs: list[Any]
    execution_count: int | None
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """How errors name it."""
        return f"Cell {self.position} ({self.id})" if self.id else f"Cell {self.position}"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A notebook that we wrote, whoever saved it since.

    Attributes:
        record: Our metadata of the notebook.
        pages: Our cells, in order; others' are left out.
    """

    record: dict[str, Any]
    pages: list[Page]


def read_file(content: bytes) -> File:
    """Take a notebook's file apart.

    Args:
        content: The file.

    Raises:
        TrajectoryError: It is not JSON, no notebook, none of ours, or of another schema.
    """
    notebook = _parsed(content)
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise TrajectoryError("This is not a notebook: it has no list of cells.")
    if notebook.get("nbformat") != _NBFORMAT:
        raise TrajectoryError(
            f"This is a notebook of format {notebook.get('nbformat')!r:.20}; a run's has format "
            f"{_NBFORMAT}."
        )
    record = _ours(notebook)
    if record is None:
        raise TrajectoryError(
            f"This notebook is not a run's: its metadata has no {NAMESPACE!r}. Runs are written "
            "by save() and NotebookLog."
        )
    schema = record.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise other_schema("This run's notebook", schema, SCHEMA)
    pages = [_page(cell, position) for position, cell in enumerate(notebook["cells"], start=1)]
    return File(record=record, pages=[page for page in pages if page is not None])


def _parsed(content: bytes) -> Any:
    if not content.strip():
        raise TrajectoryError("The file is empty.")
    try:
        return json.loads(content)
    except RecursionError:
        raise TrajectoryError("This is not a notebook: it is nested too deeply.") from None
    except ValueError as error:
        raise TrajectoryError(f"This is not JSON, or only the beginning of it: {error}.") from None


def _ours(owner: dict[str, Any]) -> dict[str, Any] | None:
    """Return our metadata of a notebook or cell; None when it has none."""
    metadata = owner.get("metadata")
    record = metadata.get(NAMESPACE) if isinstance(metadata, dict) else None
    return record if isinstance(record, dict) else None


def _page(cell: Any, position: int) -> Page | None:
    if not isinstance(cell, dict):
        raise TrajectoryError(f"Cell {position} is no object.")
    record = _ours(cell)
    if record is None:
        return None
    identity, outputs = cell.get("id"), cell.get("outputs")
    source, count = cell.get("source"), cell.get("execution_count")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise TrajectoryError(f"Cell {position} has no source.")
    return Page(
        position=position,
        id=identity[:64] if isinstance(identity, str) else "",
        cell_type=str(cell.get("cell_type")),
        source=source,
        outputs=outputs if isinstance(outputs, list) else [],
        execution_count=count if type(count) is int else None,
        record=record,
    )
