"""A run's REPL as the loop sees it: it executes a block, and returns the output and any answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlm.core.shown_output import ModelView, model_view
from rlm.core.tools import on_host_thread
from rlm.errors import KernelDiedError, RLMError
from rlm.events import CellFinished, CellOutput, CellStarted, Note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rlm.core.subcalls import SubCallHandler
    from rlm.core.tree import Tree
    from rlm_kernel.host.session import CellResult, Session

MAX_TYPED_CELLS = 1000
"""The most cells of attached consoles that a run notes: a kernel could make them up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What the loop needs to know about an executed block.

    Attributes:
        view: What the model is shown.
        answer: The final answer, if the block gave one.
        draft: `answer["content"]` after the block.
        error: How it failed; None when it did not.
    """

    view: ModelView
    answer: str | None
    draft: str
    error: str | None


class StoppedByUserError(RLMError):
    """The user's `approve` refused a cell."""


class Repl:
    """Executes blocks in a run's kernel and emits the cells' events.

    `on_restart` is called with the connection file of a kernel that replaces a lost one.
    """

    def __init__(
        self,
        tree: Tree,
        session: Session,
        subcalls: SubCallHandler,
        on_restart: Callable[[str], None] | None = None,
    ) -> None:
        self._tree = tree
        self._session = session
        self._subcalls = subcalls
        self._on_restart = on_restart
        self._restarts = 0
        self._typed = 0
        self._run = tree.recorder.here()
        session.on_typed = self._note_typed

    async def execute_blocks(
        self, blocks: Sequence[str], turn: int, on_cell: Callable[[Cell], object]
    ) -> list[Cell]:
        """Execute blocks in order, up to the first one that gives an answer.

        Args:
            blocks: The code of a reply.
            turn: The turn's number.
            on_cell: Called after each block: a later one may be interrupted.
        """
        cells: list[Cell] = []
        for code in blocks:
            cell = await self.execute(code, number=len(cells) + 1, turn=turn)
            on_cell(cell)
            cells.append(cell)
            if cell.answer is not None:
                break
        return cells

    async def execute(self, code: str, *, number: int, turn: int) -> Cell:
        """Execute one block; `number` is 1 for the first block of its turn.

        Raises:
            KernelDiedError: The kernel died more often than `max_restarts` allows.
            StoppedByUserError: `approve` refused the block.
        """
        config, recorder = self._tree.config, self._tree.recorder
        replay = self._tree.replay
        recorded = None if replay is None else replay.code(number)
        if recorded is not None:
            code = recorded
        elif config.approve is not None:
            code = await self._approved(code, turn)
        with recorder.span() as span:
            recorder.emit(CellStarted, number=number, code=code)
            self._subcalls.cell = span
            began = time.perf_counter()
            try:
                result = await self._session.execute(
                    code,
                    timeout=config.cell_timeout,
                    on_output=lambda output: recorder.emit_child(span, CellOutput, output=output),
                )
            except asyncio.CancelledError:
                self._finish(began, "interrupted", None, "The cell was interrupted.")
                raise
            try:
                remarks = await self._remarks(result)
            except RLMError as error:
                self._finish(began, result.status, result, str(error))
                raise
            view = model_view(
                result.outputs,
                result.variables,
                dropped=result.dropped,
                remarks=remarks,
                head_only=config.head_only,
            )
            self._finish(began, result.status, result, view.text)
            if replay is not None:
                replay.compare_cell()
        failed = result.error or result.status if result.status != "ok" else None
        return Cell(view=view, answer=result.answer, draft=result.draft, error=failed)

    async def variable(self, name: str) -> str | None:
        """Return a variable as text; None if there is none of this name."""
        return await self._session.variable(name)

    async def remember(self, entries: list[dict[str, Any]]) -> None:
        """Append to the REPL's `history`, the full record of a compacted conversation."""
        with contextlib.suppress(KernelDiedError):  # The next cell notices, and restarts it.
            await self._session.assign("history", entries, append=True)

    def _finish(self, began: float, status: Any, result: CellResult | None, text: str) -> None:
        self._tree.recorder.emit(
            CellFinished,
            status=status,
            execution_count=result.execution_count if result else None,
            variables=result.variables if result else {},
            final_answer=result.answer if result else None,
            duration=time.perf_counter() - began,
            shown=text,
        )

    async def _remarks(self, result: CellResult) -> list[str]:
        """Return what to tell the model besides the output; replace a lost kernel."""
        remarks = []
        if result.status in ("timeout", "interrupted", "died") and result.error:
            remarks.append(result.error)
        if result.dropped:
            self._tree.recorder.emit_child(
                None,
                Note,
                kind="output",
                text=f"The cell wrote too much; {result.dropped:,} characters were dropped.",
                data={"dropped": result.dropped},
            )
        if result.restarted:
            await self._restart(result.error or "The kernel was lost.")
            remarks.append(
                "The kernel was lost and a new one started: all your variables are gone. "
                "`context` and the helper functions are back."
            )
        return remarks

    def _note_typed(self, code: str) -> None:
        """Note what a person ran in a console that is attached to the kernel."""
        self._typed += 1
        if self._typed <= MAX_TYPED_CELLS:
            text = f"A person ran a cell in the kernel: {' '.join(code[:200].split())}"
            self._tree.recorder.emit_child(
                self._run, Note, kind="console", text=text, data={"code": code}
            )

    async def _restart(self, why: str) -> None:
        self._restarts += 1
        limit = self._tree.config.max_restarts
        if self._restarts > limit:
            raise KernelDiedError(
                f"The kernel was lost {self._restarts} times (max_restarts={limit}). {why}"
            )
        await self._session.restart()
        if self._on_restart is not None:
            self._on_restart(self._session.connection_file)
        self._tree.recorder.emit_child(
            None,
            Note,
            kind="restart",
            text=f"A new kernel was started: {why}",
            data={"restarts": self._restarts, "max_restarts": limit},
        )

    async def _approved(self, code: str, turn: int) -> str:
        assert self._tree.config.approve is not None
        try:
            allowed = await on_host_thread(self._tree.config.approve, code, turn)
        except Exception as error:
            raise RLMError(f"approve() failed: {type(error).__name__}: {error}") from error
        if allowed is None:
            raise StoppedByUserError(
                f"The run was stopped: approve() refused a cell of turn {turn}."
            )
        return str(allowed)
