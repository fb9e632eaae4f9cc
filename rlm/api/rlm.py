"""The class that users instantiate: `RLM`."""

from __future__ import annotations

import asyncio
import inspect
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

from rlm.api.outcome import FLUSH_SECONDS, cancelled, ended, settled
from rlm.api.readers import ReaderSet
from rlm.core.completion import Request, complete
from rlm.core.config import run_config
from rlm.core.environments import unknown_arguments
from rlm.core.held import Held
from rlm.core.loop import Job, engine_loop
from rlm.core.main_thread import serve_main_thread
from rlm.core.recorder import Recorder
from rlm.core.watching import watched
from rlm.errors import ArgumentError, CancellationError
from rlm.replay.plan import NOT_GIVEN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from pathlib import Path

    from rlm.api.outcome import AtEnd
    from rlm.api.run_handle import RunHandle
    from rlm.core.types import RLMChatCompletion
    from rlm.errors import RLMError
    from rlm.events import Event, Message
    from rlm.logger.delivery import Reader
    from rlm.replay.plan import OnMiss, ReplayPlan
    from rlm.reply_parser import PythonFences
    from rlm.trajectory import Trajectory


class RLM:
    """Recursive language model completions: the model works on its context in a REPL.

    `environment="local"` is a Jupyter kernel process of its own on this machine. It gets no key,
    but it is no boundary against hostile code: it runs as the same user, with the same files.

    ::

        with RLM(backend="openai", backend_kwargs={"model_name": "gpt-5-mini"}) as rlm:
            print(rlm.completion(text, root_prompt="Who is the narrator?").response)

    Completions of one object may run at once, from any threads and tasks.

    Attributes:
        config: Everything it was made with, checked and frozen.
    """

    def __init__(
        self,
        backend: str = "openai",
        backend_kwargs: dict[str, Any] | None = None,
        environment: str = "local",
        environment_kwargs: dict[str, Any] | None = None,
        depth: int = 0,
        max_depth: int = 1,
        max_iterations: int = 30,
        custom_system_prompt: str | None = None,
        other_backends: list[str] | None = None,
        other_backend_kwargs: list[dict[str, Any]] | None = None,
        logger: Reader | Sequence[Reader] | None = None,
        verbose: bool = False,
        *,
        max_budget: float | None = None,
        max_timeout: float | None = None,
        max_tokens: int | None = None,
        max_errors: int | None = None,
        persistent: bool = False,
        custom_tools: dict[str, Any] | None = None,
        custom_sub_tools: dict[str, Any] | None = None,
        compaction: bool = False,
        compaction_threshold_pct: float = 0.85,
        max_concurrent_subcalls: int = 16,
        max_concurrent_queries: int = 64,
        on_subcall_start: Callable[[int, str, str], Any] | None = None,
        on_subcall_complete: Callable[[int, str, float, str | None], Any] | None = None,
        on_iteration_start: Callable[[int, int], Any] | None = None,
        on_iteration_complete: Callable[[int, int, float], Any] | None = None,
        sampling_args: dict[str, Any] | None = None,
        sub_sampling_args: dict[str, Any] | None = None,
        orchestrator: bool = True,
        user_prologue: str | None = None,
        prices: dict[str, tuple[float, float]] | None = None,
        context_window: dict[str, int] | None = None,
        cell_timeout: float | None = 600.0,
        max_restarts: int = 3,
        approve: Callable[[str, int], Any] | None = None,
        head_only: bool = False,
        show_images: bool = False,
        python_fences: PythonFences = "auto",
        replay: ReplayPlan | None = None,
        **unknown: Any,
    ) -> None:
        """Check the arguments; nothing is started or imported before the first completion.

        Args:
            backend: The provider of the root model; `rlm.backends.BACKENDS` names all.
            backend_kwargs: What its client takes: `model_name`, `api_key`, `base_url` and more.
            environment: Where the kernels live: ``"local"``.
            environment_kwargs: For ``"local"``: `setup_code` (run in every new kernel),
                `memory_limit` (bytes, or ``"4g"``), `output_limit` (characters that a cell may
                write), `env` (variables added to the kernels' scrubbed environment).
            depth: Where in a tree this RLM stands; 0 is its root.
            max_depth: At this depth a run is one plain LM call: 1 allows no recursion.
            max_iterations: Turns, after which the model is asked for its answer outright.
            custom_system_prompt: Instead of ours. ``{custom_tools_section}`` in it is replaced
                by the description of the tools; other braces are left alone.
            other_backends: Further providers for sub-calls. One that names no model goes to the
                first of them.
            other_backend_kwargs: What their clients take, in the same order.
            logger: A reader of events, such as `rlm.logger.RLMLogger`, or a list of them.
            verbose: Whether to show on stderr what is going on.
            max_budget: USD for the whole tree.
            max_timeout: Seconds for the whole tree.
            max_tokens: Input and output tokens of the whole tree.
            max_errors: How many failing turns in a row end a run.
            persistent: Whether later completions reuse the kernel: each adds `context_N` and
                `history_N` (the latter not with `compaction`, whose `history` has it all).
                Completions then wait for each other.
            custom_tools: ``{"name": value}`` or ``{"name": {"tool": value, "description":
                text}}``. Callables (sync or async) run on threads of this process and exchange
                JSON; other values become variables.
            custom_sub_tools: The tools of children; None: the same, ``{}``: none.
            compaction: Whether a conversation that grows too long is summed up by the model.
            compaction_threshold_pct: The part of the model's window that is too long.
            max_concurrent_subcalls: Children at once, at each depth.
            max_concurrent_queries: Plain LM calls at once, in the whole tree.
            on_subcall_start: Called with a child's depth, model and prompt's beginning.
            on_subcall_complete: Called with a child's depth, model, seconds and error.
            on_iteration_start: Called with a turn's depth and number.
            on_iteration_complete: Called with a turn's depth, number and seconds.
            sampling_args: Fields of every request to the root model, such as `temperature`.
            sub_sampling_args: The same for sub-calls.
            orchestrator: Whether the system prompt has a part on delegating work.
            user_prologue: A user message before the first turn.
            prices: Model to USD per 1M input tokens and per 1M output tokens, where the provider
                does not say what a call cost.
            context_window: Model to tokens, where ours is unknown or wrong.
            cell_timeout: Seconds that one cell may take; None: any.
            max_restarts: How often a run's lost kernel is replaced.
            approve: Called with a cell's code and the turn's number before it runs; returns the
                code to run, or None to stop the run. `rlm.api.approval.ask` asks you.
            head_only: Whether a long output is shown without its end, as the reference does.
            show_images: Whether images that a cell displays are sent to the root model.
            python_fences: Whether ```` ```python ```` blocks run when a reply has none tagged
                `repl`; ``"auto"``: only until the model has written one of those.
            replay: What `from_notebook` plays again.
            unknown: Any other keyword is an error.

        Raises:
            ConfigurationError: A value is not allowed (a `ValueError`).
            ArgumentError: A keyword or a type is wrong (a `TypeError`).
            MissingPackageError: The backend's package is not installed (an `ImportError`).
        """
        if unknown:
            names = list(inspect.signature(RLM).parameters)
            raise unknown_arguments(unknown, [n for n in names if n != "unknown"], "RLM()")
        self.config = run_config(
            backend=backend,
            backend_kwargs=backend_kwargs,
            environment=environment,
            environment_kwargs=environment_kwargs,
            depth=depth,
            max_depth=max_depth,
            max_iterations=max_iterations,
            custom_system_prompt=custom_system_prompt,
            other_backends=other_backends,
            other_backend_kwargs=other_backend_kwargs,
            max_budget=max_budget,
            max_timeout=max_timeout,
            max_tokens=max_tokens,
            max_errors=max_errors,
            persistent=persistent,
            custom_tools=custom_tools,
            custom_sub_tools=custom_sub_tools,
            compaction=compaction,
            compaction_threshold_pct=compaction_threshold_pct,
            max_concurrent_subcalls=max_concurrent_subcalls,
            max_concurrent_queries=max_concurrent_queries,
            sampling_args=sampling_args,
            sub_sampling_args=sub_sampling_args,
            orchestrator=orchestrator,
            user_prologue=user_prologue,
            prices=prices,
            context_window=context_window,
            cell_timeout=cell_timeout,
            max_restarts=max_restarts,
            approve=approve,
            head_only=head_only,
            show_images=show_images,
            python_fences=python_fences,
            replay=replay,
        )
        callbacks = {
            "on_subcall_start": on_subcall_start,
            "on_subcall_complete": on_subcall_complete,
            "on_iteration_start": on_iteration_start,
            "on_iteration_complete": on_iteration_complete,
        }
        self._audience = ReaderSet(logger, callbacks, verbose=verbose)
        self._held = Held(self._audience, persistent=persistent)
        # At exit `rlm.core.held` does it, while it can still be waited for.
        weakref.finalize(self, self._held.drop).atexit = False

    @classmethod
    def from_notebook(
        cls,
        path: str | Path | Trajectory | list[str | Path],
        *,
        context: Any = NOT_GIVEN,
        turn: int | None = None,
        replay: bool = False,
        on_miss: OnMiss | None = None,
        model: str | None = None,
        messages: str | list[Message] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make an RLM of a recorded run: to play it again, to resume it, or to fork it.

        ::

            RLM.from_notebook("risks.ipynb", replay=True).completion()            # offline, no key
            RLM.from_notebook("risks.ipynb").completion()                         # resume
            RLM.from_notebook("risks.ipynb", turn=3, model="gpt-5").completion()  # fork

        What the log answers is executed again in a new kernel; see docs/replay.md.

        Args:
            path: The log: a file that `Trajectory.load` reads, or a trajectory; of a persistent
                RLM a list of them, one for each completion.
            context: The context, where the log does not hold it: the value, or a `pathlib.Path`,
                which is read as what the context was (text, JSON or bytes).
            turn: The first that a model is asked in. None: the one after the last whole turn, or
                after the first cell that was edited in the notebook.
            replay: Whether the log answers everything, to its end.
            on_miss: What is done about a call that the log has no reply to: ``"error"`` ends the
                run and says what differs, ``"live"`` asks the model, ``"nearest"`` takes the reply
                to the most similar prompt. The default is ``"error"`` for a replay, else
                ``"live"``.
            model: Another root model; short for ``backend_kwargs={"model_name": ...}``.
            messages: What is said to the model before the first live turn.
            kwargs: Arguments of `RLM` that are to differ from the recorded ones.

        Raises:
            ConfigurationError: The log cannot be left at `turn`, or a value is not allowed.
        """
        from rlm.replay.open_log import reopen

        return reopen(
            cls,
            path,
            context=context,
            turn=turn,
            replay=replay,
            on_miss=on_miss,
            model=model,
            messages=messages,
            changes=kwargs,
        )

    def completion(
        self, prompt: Any = NOT_GIVEN, root_prompt: str | None = None
    ) -> RLMChatCompletion:
        """Answer a question about a context; also inside a running event loop.

        Args:
            prompt: The context: text, JSON values, bytes, any object that can be pickled, or a
                `pathlib.Path` to a file or folder. It becomes `context` in the REPL and never
                enters the root model's messages. After `from_notebook` the recorded one may be
                left out.
            root_prompt: The question, which only the root model is shown.

        Returns:
            The answer, with its usage and trajectory.

        Raises:
            LimitExceededError: A limit was reached.
            CancellationError: The user pressed Ctrl-C, or `approve` refused a cell.
            ContextError: The context cannot be brought into the REPL.
            BackendError: The provider failed.
            RLMError: Root of all these; has the `trajectory` and the `partial_answer` so far.
        """
        with serve_main_thread() as desk:
            job, recorder = self._job(prompt, root_prompt)
            try:
                outcome = job.wait(desk)
                self._audience.flush(FLUSH_SECONDS)
            except KeyboardInterrupt:
                outcome = cancelled(recorder)
        if job.interrupted and not isinstance(outcome, CancellationError):
            outcome = cancelled(recorder)
        return settled(outcome, self._audience)

    async def acompletion(
        self, prompt: Any = NOT_GIVEN, root_prompt: str | None = None
    ) -> RLMChatCompletion:
        """Answer a question about a context; cancelling the task cancels the run.

        A Ctrl-C under `asyncio.run` is such a cancellation, of the main task: asyncio turns it
        into a bare `KeyboardInterrupt`, never our `CancellationError`. The record so far is on
        the `CancelledError`, as `trajectory` and `partial_answer`; of asyncio's own
        `KeyboardInterrupt` that error is the `__context__`.

        Args:
            prompt: As for `completion`.
            root_prompt: As for `completion`.

        Raises:
            RLMError: As `completion`.
            CancelledError: The task was cancelled; it has the `trajectory` and the
                `partial_answer` so far.
        """
        job, recorder = self._job(prompt, root_prompt)
        try:
            outcome = await job.wait_async()
        except asyncio.CancelledError as error:
            # It has to stay what it is: timeouts and task groups count on their own error.
            stopped = cancelled(recorder)
            vars(error).update(trajectory=stopped.trajectory, partial_answer=stopped.partial_answer)
            raise
        await asyncio.to_thread(self._audience.flush, FLUSH_SECONDS)
        return settled(outcome, self._audience)

    def start(
        self,
        prompt: Any = NOT_GIVEN,
        root_prompt: str | None = None,
        *,
        at_end: AtEnd | None = None,
    ) -> RunHandle:
        """Begin a run in the background and return at once.

        It goes on until it is over, also when nobody keeps the handle; `close` (so also the end
        of a `with` block) cancels it.

        Args:
            prompt: As for `completion`.
            root_prompt: As for `completion`.
            at_end: Awaited with the result or error before the run is `done`; must not block.

        Returns:
            The run: to watch, to wait for, to stop.
        """
        from rlm.api.run_handle import RunHandle

        job, recorder = self._job(prompt, root_prompt, at_end=at_end)
        return RunHandle(job, recorder, self._audience, self)

    def stream(
        self, prompt: Any = NOT_GIVEN, root_prompt: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Watch a run: yield its events as they happen; leaving the loop cancels the run.

        Args:
            prompt: As for `completion`.
            root_prompt: As for `completion`.

        Raises:
            RLMError: As `completion`, after the last event.
        """
        return watched(lambda push: self._job(prompt, root_prompt, push)[0], self._audience)

    def close(self) -> None:
        """Free everything the object holds: kernels, connections, threads; safe to call again.

        Runs that go on are cancelled first: they end with a `CancellationError`. A completion
        asked for later makes everything anew.
        """
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        config = self.config
        return (
            f"RLM(backend={config.root.backend!r}, model={config.root.name!r}, "
            f"environment={config.environment!r}, max_depth={config.max_depth})"
        )

    def _job(
        self,
        prompt: Any,
        root_prompt: str | None,
        *listeners: Callable[[Event], object],
        at_end: AtEnd | None = None,
    ) -> tuple[Job[RLMChatCompletion | RLMError], Recorder]:
        """Prepare one completion; nothing has begun yet."""
        if prompt is NOT_GIVEN and self.config.replay is None:
            raise ArgumentError("The prompt is missing: the context that the question is about.")
        if root_prompt is not None and not isinstance(root_prompt, str):
            raise ArgumentError(f"root_prompt must be a str, not {type(root_prompt).__name__}.")
        loop = engine_loop()
        delivery = self._audience.delivery()
        if delivery is not None:
            listeners = (delivery.emit, *listeners)
        recorder = Recorder(listeners, None if delivery is None else delivery.give_context)
        request = Request(prompt=prompt, root_prompt=root_prompt, started=time.perf_counter())
        run = ended(at_end, complete, self.config, self._held.on(loop), request, recorder)
        return Job(loop, run), recorder
