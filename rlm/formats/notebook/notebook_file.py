"""Takes a notebook's file apart: our metadata, and the cells."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from rlm.formats.notebook.record import NAMESPACE, SCHEMA
from rlm.trajectory import TrajectoryError
from rlm.trajectory.codec import other_schema

_NBFORMAT = 4

_CONFLICTS = "nbdime-conflicts"
"""What nbmerge leaves in metadata when both sides changed it."""

_OUR_IDS = re.compile(r"(run|turn|cell|calls|child|orphan|loose)-\d+|restore")
_OUR_IMPORT = re.compile(r"(?m)^from rlm_kernel\.(guest\.restore|inside\.restored) import")


class IncompleteNotebookError(TrajectoryError):
    """The file is not JSON: a program may be writing it at this moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookCell:
    """A cell of the notebook, ours or not.

    Attributes:
        position: 1 for the notebook's first cell.
        id: The notebook cell's id; empty when it has none.
        node: The id of the run's node in its metadata; empty when there is none.
        is_code: Whether it is a code cell.
        source: Its source now.
    """

    position: int
    id: str
    node: str
    is_code: bool
    source: str

    @property
    def is_restore(self) -> bool:
        """Whether it is the cell that restores the REPL."""
        return self.id == "restore" or bool(_OUR_IMPORT.search(self.source))


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookFile:
    """A run's notebook, whichever program saved it last: our metadata, and all cells in order."""

    metadata: dict[str, Any]
    cells: list[NotebookCell]


def parse_notebook(content: bytes) -> dict[str, Any]:
    """Return any notebook's JSON.

    Raises:
        IncompleteNotebookError: The content is not JSON, or only the beginning of it.
        TrajectoryError: It is JSON, and no notebook of nbformat 4.
    """
    if not content.strip():
        raise IncompleteNotebookError("The file is empty.")
    try:
        notebook = json.loads(content)
    except RecursionError:
        raise TrajectoryError("This is not a notebook: it is nested too deeply.") from None
    except ValueError as error:
        raise IncompleteNotebookError(
            f"This is not JSON, or only the beginning of it: {error}."
        ) from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise TrajectoryError("This is not a notebook: it has no list of cells.")
    if notebook.get("nbformat") != _NBFORMAT:
        raise TrajectoryError(
            f"This is a notebook of format {notebook.get('nbformat')!r:.20}; a run's has format "
            f"{_NBFORMAT}."
        )
    for position, cell in enumerate(notebook["cells"], start=1):
        if not isinstance(cell, dict):
            raise TrajectoryError(f"Cell {position} is no object.")
    return notebook


def read_file(content: bytes) -> NotebookFile:
    """Take a run's notebook apart; the events of its record stay unread.

    Raises:
        IncompleteNotebookError: The content is not JSON, or only the beginning of it.
        TrajectoryError: It is no notebook, none of ours, lost its record, or has another format.
    """
    notebook = parse_notebook(content)
    metadata = our_metadata(notebook)
    _check_conflicts(notebook, metadata)
    if not metadata:
        raise _no_record(notebook)
    schema = metadata.get("schema")
    if schema == 1 and not isinstance(schema, bool):
        raise TrajectoryError(
            "This run's notebook has format 1, of rlm-kernel 0.1: make one that this version reads "
            "with `rlm convert OLD.ipynb NEW.ipynb`."
        )
    if schema != SCHEMA or isinstance(schema, bool):
        raise other_schema("This run's notebook", schema, SCHEMA)
    if "events" not in metadata:
        raise _no_record(notebook)
    cells = [_cell(cell, position) for position, cell in enumerate(notebook["cells"], start=1)]
    return NotebookFile(metadata=metadata, cells=cells)


def our_metadata(owner: dict[str, Any]) -> dict[str, Any] | None:
    """Return our metadata of a notebook or cell; None when it has none."""
    metadata = owner.get("metadata")
    ours = metadata.get(NAMESPACE) if isinstance(metadata, dict) else None
    return ours if isinstance(ours, dict) else None


def joined_source(cell: dict[str, Any]) -> str | None:
    """Return a cell's source as one text; None when it has none."""
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    return source if isinstance(source, str) else None


def _check_conflicts(notebook: dict[str, Any], ours: dict[str, Any] | None) -> None:
    metadata = notebook.get("metadata")
    for place in (metadata, ours):
        if isinstance(place, dict) and _CONFLICTS in place:
            raise TrajectoryError(
                f"The notebook's metadata has {_CONFLICTS!r}: nbmerge could not merge the records "
                "of two runs and left one of neither; take the notebook from before the merge."
            )


def _no_record(notebook: dict[str, Any]) -> TrajectoryError:
    if any(_is_ours(cell) for cell in notebook["cells"]):
        return TrajectoryError(
            "This notebook has the cells of a run and no record of it: jupytext's text form, "
            "nbdev-clean, nbconvert's ClearMetadata, marimo and the like remove the notebook's "
            "metadata; take the notebook from before that."
        )
    return TrajectoryError(
        "This notebook is not a run's: its metadata has no record. Runs are written by save() and "
        "NotebookLog."
    )


def _is_ours(cell: dict[str, Any]) -> bool:
    """Whether anything in a cell shows that it comes from a run's notebook."""
    identity, metadata = cell.get("id"), cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return (
        our_metadata(cell) is not None
        or (isinstance(identity, str) and bool(_OUR_IDS.fullmatch(identity)))
        or (isinstance(tags, list) and any(str(tag).startswith("rlm-") for tag in tags))
        or bool(_OUR_IMPORT.search(joined_source(cell) or ""))
    )


def _cell(cell: dict[str, Any], position: int) -> NotebookCell:
    source, identity = joined_source(cell), cell.get("id")
    if source is None:
        raise TrajectoryError(f"Cell {position} has no source.")
    node = (our_metadata(cell) or {}).get("node")
    return NotebookCell(
        position=position,
        id=identity if isinstance(identity, str) else "",
        node=node if isinstance(node, str) else "",
        is_code=cell.get("cell_type") == "code",
        source=source,
    )
