"""One run's chat with its model: what we ask, what it replies, what we show it of its cells."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rlm.core import compaction, prompts
from rlm.core.chat_history import ChatHistory
from rlm.core.run_events import turn_events
from rlm.core.tools import tools_section
from rlm.errors import ContextWindowError
from rlm.events import Note
from rlm.reply_parser import CUT, ReplyReader, text_outside_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rlm.backends.base import LMReply
    from rlm.core.kernels import KeptKernel
    from rlm.core.repl import Cell, Repl
    from rlm.core.run_events import Turn
    from rlm.core.tree import RunSpec, Tree
    from rlm.events import Message
    from rlm.reply_parser import ParsedReply

_NO_CODE = "Your last reply had no ```repl``` block, so nothing was run."
_OTHER_CODE = "Your last reply's code was not run: only blocks tagged `repl` are."
_EMPTY = "Your last reply was empty."
_LOST = "The kernel was lost since the last conversation, and the variables made there with it."
_CUT_SHORT = "Your last reply was cut off inside a block; that block was not run."
_CUT_ANSWER = (
    "Your last reply was cut off inside FINAL(...), so it is no answer. Write a shorter one."
)
_NOT_ACCEPTED = "The final answer of your last reply was not accepted: its code failed, as shown."


class Chat:
    """One run's chat with its model.

    A persistent RLM's kernel (`kept`) may hold earlier contexts and conversations: the chat says
    so.
    """

    def __init__(self, tree: Tree, spec: RunSpec, kept: KeptKernel | None) -> None:
        config = tree.config
        self._tree = tree
        self._model = spec.model
        self._kept = kept
        recorded = None if tree.replay is None else tree.replay.system_prompt()
        self._history = ChatHistory(
            prompts.opening(
                recorded
                or prompts.system_prompt(
                    config.custom_system_prompt,
                    tools_section=tools_section(spec.tools),
                    orchestrator=config.orchestrator,
                    compaction=config.compaction,
                ),
                description=spec.info.description,
                root_prompt=spec.root_prompt,
                user_prologue=spec.user_prologue,
            )
        )
        self._reader = ReplyReader(config.python_fences)
        self._hint = ""
        self._draft = ""
        self._last_reply: str | None = None
        self._compactions = 0
        # How many messages are in the REPL's `history`, with the opening, which is left out of it.
        self._in_repl = len(self._history.messages)

    @property
    def messages(self) -> list[Message]:
        """All messages so far."""
        return self._history.messages

    def best_answer(self) -> str | None:
        """Return the best answer so far: the newest draft, else the newest reply."""
        return self._draft or self._last_reply

    @contextmanager
    def turn(self, number: int) -> Iterator[Turn]:
        """Open a turn: add its prompt to the chat, and emit its start and end.

        The turn after `max_iterations` is the one that demands the answer.
        """
        of = self._tree.config.max_iterations
        if self._tree.replay is not None:
            self._model, news = self._tree.replay.begin_turn(number, self._model)
            self._history.add(*news)
        if number > of:
            self._history.add({"role": "user", "content": prompts.FINAL_REQUEST})
        else:
            contexts, histories = 1, 0
            if self._kept is not None:
                contexts, histories = self._kept.contexts, self._kept.histories
                if self._kept.lost and number == 1:
                    self._hint = _LOST
            self._history.add(
                prompts.turn(number, of, contexts=contexts, histories=histories, hint=self._hint)
            )
        self._hint = ""
        kept, news = self._history.news()
        with turn_events(
            self._tree.recorder, number=number, of=of, kept=kept, messages=news
        ) as turn:
            yield turn

    async def ask(self, repl: Repl) -> LMReply | None:
        """Ask the model for the turn's reply.

        None: the chat was too long for the model. It was compacted, and the REPL keeps it all.

        Raises:
            BackendError: The model failed.
            LimitExceededError: A limit was reached.
        """
        recorder, began = self._tree.recorder, time.perf_counter()
        try:
            reply = await self._tree.models.ask(
                self._model, self.messages, stream=True, on_retry=recorder.note_retry
            )
        except ContextWindowError:
            if not self._tree.config.compaction or not compaction.is_possible(self._history):
                raise
            await self._compact(repl)
            return None
        self._history.counted(reply.usage)
        recorder.emit_reply(reply, began)
        if reply.text.strip():
            self._last_reply = reply.text
        self._tree.limits.check()
        return reply

    def read(self, reply: LMReply) -> ParsedReply:
        """Find the code and the answer in a reply, and add the reply to the chat.

        If it imitates the REPL's output, all from there on is cut off.
        """
        parsed = self._reader.read(reply.text, complete=reply.finish_reason not in CUT)
        if parsed.cut:
            self._tree.recorder.emit_child(
                None,
                Note,
                kind="warning",
                text=f"The reply imitated the REPL's output; its last {parsed.cut:,} characters "
                "were cut off.",
                data={"cut": parsed.cut},
            )
        if parsed.text.strip():
            self._history.add({"role": "assistant", "content": parsed.text})
        else:
            self._hint = _EMPTY
        if parsed.cut_short:
            self._hint = _CUT_SHORT
        elif parsed.cut_answer:
            self._hint = _CUT_ANSWER
        elif parsed.text.strip() and not parsed.blocks:
            self._hint = _OTHER_CODE if parsed.other_code else _NO_CODE
        return parsed

    def note_draft(self, cell: Cell) -> None:
        """Remember the draft of the answer that a cell left in `answer["content"]`."""
        self._draft = cell.draft or self._draft

    async def answer(self, parsed: ParsedReply, cells: Sequence[Cell], repl: Repl) -> str | None:
        """Return the final answer of a turn: its last cell's, or one in the reply's text.

        An answer in the text does not count when code of the same reply failed.
        """
        if cells and cells[-1].answer is not None:
            return cells[-1].answer
        if parsed.answer is None:
            return None
        if any(cell.error is not None for cell in cells):
            self._hint = _NOT_ACCEPTED
            return None
        if parsed.answer.kind == "text":
            return parsed.answer.value
        value = await repl.variable(parsed.answer.value)
        if value is None:
            self._hint = f"FINAL_VAR: the REPL has no variable {parsed.answer.value!r}."
        return value

    async def show(self, cells: Sequence[Cell], repl: Repl) -> None:
        """Add the cells' output to the chat, and compact the chat when it has grown too long."""
        if cells:
            images = self._tree.config.show_images
            self._history.add(
                prompts.repl_output(
                    [(cell.view.text, cell.view.images if images else ()) for cell in cells]
                )
            )
        if self._tree.config.compaction:
            await self._copy_to_repl(repl)
            if compaction.is_due(self._tree, self._model, self._history):
                await self._compact(repl)

    async def ask_for_final_answer(self, repl: Repl) -> str:
        """Demand the answer: the turns are used up. The reply is read like any other."""
        before = self._last_reply
        number = self._tree.config.max_iterations + 1
        with self.turn(number) as turn:
            reply = await self.ask(repl)
            if reply is None:
                self._history.add({"role": "user", "content": prompts.FINAL_REQUEST})
                reply = await self.ask(repl)
            if reply is None:
                turn.answer = self._draft or text_outside_code(before or "")
                return turn.answer
            parsed = self.read(reply)
            cells = await repl.execute_blocks(parsed.blocks, number, self.note_draft)
            turn.answer = await self.answer(parsed, cells, repl)
            if turn.answer is None:
                turn.answer = self._last_word(parsed, before)
        return turn.answer

    def _last_word(self, parsed: ParsedReply, before: str | None) -> str:
        """Return the answer of a last reply that gives none in a known way."""
        if parsed.answer is not None and parsed.answer.kind == "text":
            return parsed.answer.value  # Its code failed, but there is no other turn.
        said = text_outside_code(parsed.text) if parsed.has_repl else parsed.text
        if parsed.answer is None and said.strip():
            return said
        return self._draft or text_outside_code(before or "") or parsed.text

    async def _compact(self, repl: Repl) -> None:
        self._compactions += 1
        await self._copy_to_repl(repl)
        summary = await compaction.compact(
            self._tree, self._model, self._history, count=self._compactions
        )
        await repl.remember([{"type": "summary", **summary}])
        self._in_repl = len(self.messages)

    async def _copy_to_repl(self, repl: Repl) -> None:
        """Append new messages to the REPL's `history`."""
        news = self.messages[self._in_repl :]
        if news:
            await repl.remember(news)
        self._in_repl = len(self.messages)
