"""The class that users instantiate: `RLM`."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from rlm.api.outcome import cancelled, raise_or_return, run_at_end, stream_events
from rlm.api.readers import CALLBACKS, ReaderSet
from rlm.core.completion import complete
from rlm.core.environments import unknown_arguments
from rlm.core.loop import Job, engine_loop
from rlm.core.main_thread import serve_main_thread
from rlm.core.replay_port import NOT_GIVEN
from rlm.core.resources import Resources
from rlm.core.run_config import run_config
from rlm.errors import ArgumentError, CancellationError
from rlm.run_options.check import check_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from pathlib import Path

    from rlm.api.outcome import AtEnd, Outcome
    from rlm.api.run_handle import RunHandle
    from rlm.core.loop import EngineLoop
    from rlm.core.recorder import Recorder
    from rlm.core.replay_port import ReplaySource
    from rlm.core.types import RLMChatCompletion
    from rlm.events import Event, Message
    from rlm.logger.delivery import Reader
    from rlm.replay.plan import OnMiss
    from rlm.reply_parser import PythonFences
    from rlm.trajectory import Trajectory


class RLM:
    """Recursive language model completions: the model works on its context in a REPL.

    `environment="local"` runs a Jupyter kernel process on this machine. The kernel gets no key, but
    it is no boundary against hostile code: it runs as the same user, with the same files.

    ::

        with RLM(backend="openai", backend_kwargs={"model_name": "gpt-5-mini"}) as rlm:
            print(rlm.completion(text, root_prompt="Who is the narrator?").response)

    Completions of one object may run at once, from any threads and tasks.

    Attributes:
        config: The arguments, checked and frozen.
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
        replay: ReplaySource | None = None,
        **unknown: Any,
    ) -> None:
        """Check the arguments; the first completion imports and starts what it needs.

        Args:
            backend: The provider of the root model, such as openai, anthropic, openrouter,
                portkey, litellm, vllm, azure_openai, gemini or vercel.
            backend_kwargs: Keywords of the backend's client: `model_name`, `api_key`, `base_url`
                and more.
            environment: Where the model's code runs: local, docker or modal; local is a process
                of this user, and no security boundary against hostile code.
            environment_kwargs: What else the environment takes, such as ``{"memory_limit": "4g"}``.
                Every environment takes `setup_code` (run in every new kernel), `memory_limit`
                (bytes, or ``"4g"``), `output_limit` (characters that a cell may write) and `env`
                (variables added to the kernels' scrubbed environment).
            depth: This RLM's depth in a tree; 0 is the root.
            max_depth: Levels of recursion: from 2 on, `rlm_query` starts children with kernels.
                With 1 a sub-call is one plain LM call, with 0 the run itself is.
            max_iterations: Turns, after which the model must give its final answer.
            custom_system_prompt: A system prompt in place of ours. ``{custom_tools_section}`` in it
                is replaced by the description of the tools; other braces are left alone.
            other_backends: Further providers, for sub-calls. A sub-call that names no model goes
                to the first of them.
            other_backend_kwargs: Keywords of the clients of `other_backends`, in the same order.
            logger: A reader of events, such as `rlm.logger.RLMLogger`, or a list of them.
            verbose: Show the run as it happens, on stderr.
            max_budget: USD for the whole tree.
            max_timeout: Seconds for the whole tree.
            max_tokens: Tokens of the whole tree, input and output.
            max_errors: Failing turns in a row after which the run ends.
            persistent: Later completions reuse the kernel: each adds `context_N` and `history_N`
                (the latter not with `compaction`, whose `history` has it all). Completions then
                wait for each other.
            custom_tools: Functions and values that the model's code can use, by name:
                ``{"name": value}`` or ``{"name": {"tool": value, "description": text}}``.
                Functions (sync or async) run on threads of this process and exchange JSON; other
                values become variables.
            custom_sub_tools: The tools of children; None: the same, ``{}``: none.
            compaction: Have the model sum up a conversation that grows too long.
            compaction_threshold_pct: The share of the model's window that is too long.
            max_concurrent_subcalls: Children at once, at each depth.
            max_concurrent_queries: Plain LM calls at once, in the whole tree.
            on_subcall_start: Called with a child's depth, model and the beginning of its prompt.
            on_subcall_complete: Called with a child's depth, model, seconds and error.
            on_iteration_start: Called with a turn's depth and number.
            on_iteration_complete: Called with a turn's depth, number and seconds.
            sampling_args: Fields of every request to the root model, such as `temperature`.
            sub_sampling_args: Fields of every request of a sub-call.
            orchestrator: Give the system prompt a part on delegating work.
            user_prologue: A user message before the first turn.
            prices: Model to USD per 1M input tokens and per 1M output tokens, where the provider
                does not say what a call cost.
            context_window: Model to tokens, where ours is missing or wrong.
            cell_timeout: Seconds that a cell may run; None: no limit.
            max_restarts: How often a run may replace a lost kernel.
            approve: Called with a cell's code and the turn's number before the cell runs; returns
                the code to run, or None to stop the run. `rlm.api.approval.ask` asks you.
            head_only: Show only the beginning of a long output, as the reference does.
            show_images: Send images that a cell displays to the root model.
            python_fences: Run ```` ```python ```` blocks when a reply has no ```` ```repl ````
                block; ``"auto"``: only until the model has written a ```` ```repl ```` block.
            replay: The log that `from_notebook` replays.
            unknown: Any other keyword is an error.

        Raises:
            ConfigurationError: A value is not allowed (a `ValueError`).
            ArgumentError: A keyword or a type is wrong (a `TypeError`).
            MissingPackageError: The backend's package is not installed (an `ImportError`).
        """
        arguments = dict(locals())  # All parameters by name: there are no other locals yet.
        del arguments["self"], arguments["unknown"]
        if unknown:
            raise unknown_arguments(unknown, arguments, "RLM()")
        check_arguments(arguments)
        readers = {name: arguments.pop(name) for name in ("logger", "verbose", *CALLBACKS)}
        self.config = run_config(**arguments)
        self._readers = ReaderSet(**readers)
        self._resources: Resources | None = None  # The first completion makes them.

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
        """Make an RLM from a recorded run, to replay, resume or fork it.

        ::

            RLM.from_notebook("risks.ipynb", replay=True).completion()            # offline, no key
            RLM.from_notebook("risks.ipynb").completion()                         # resume
            RLM.from_notebook("risks.ipynb", turn=3, model="gpt-5").completion()  # fork

        The code of recorded turns runs again in a new kernel; see docs/replay.md.

        Args:
            path: The log: a file that `Trajectory.load` reads, or a trajectory; for a persistent
                RLM a list of them, one for each completion.
            context: The context, if the log does not hold it: the value, or a `pathlib.Path`, which
                is read in the form that the context had (text, JSON or bytes).
            turn: The first turn in which a model is asked. None: the turn after the last complete
                one, or after the first cell that was edited in the notebook.
            replay: Whether the log answers all calls, to its end.
            on_miss: What to do when the log has no reply to a call: ``"error"`` ends the run and
                says what differs, ``"live"`` asks the model, ``"nearest"`` takes the reply to the
                most similar prompt. The default is ``"error"`` for a replay, else ``"live"``.
            model: Another root model; short for ``backend_kwargs={"model_name": ...}``.
            messages: Messages to add before the first live turn.
            kwargs: Arguments of `RLM` that differ from the recorded ones.

        Raises:
            ConfigurationError: The log cannot be left at `turn`, or a value is not allowed.
        """
        from rlm.replay.open_log import reopened_arguments

        arguments = reopened_arguments(
            path,
            context=context,
            turn=turn,
            replay=replay,
            on_miss=on_miss,
            model=model,
            messages=messages,
            changes=kwargs,
        )
        return cls(**arguments)

    def completion(
        self, prompt: Any = NOT_GIVEN, root_prompt: str | None = None
    ) -> RLMChatCompletion:
        """Answer a question about a context; this also works inside a running event loop.

        Args:
            prompt: The context: text, JSON values, bytes, any object that can be pickled, or a
                `pathlib.Path` to a file or folder. It becomes `context` in the REPL and never
                enters the root model's messages. After `from_notebook` it may be left out.
            root_prompt: The question, which only the root model sees.

        Returns:
            The answer, with its usage and trajectory.

        Raises:
            LimitExceededError: A limit was reached.
            CancellationError: The user pressed Ctrl-C, or `approve` refused a cell.
            ContextError: The context cannot be loaded into the REPL.
            BackendError: The provider failed.
            RLMError: Root of all these; it has the `trajectory` and the `partial_answer` so far.
        """
        # `complete` runs on the engine's thread. This thread waits for it, and meanwhile makes the
        # calls that have to be made here, such as the question of `rlm.api.approval.ask`.
        with serve_main_thread() as main_thread:
            job, recorder = self._prepare(prompt, root_prompt)
            try:
                outcome = job.wait(main_thread)
                self._readers.flush()
            except KeyboardInterrupt:
                outcome = cancelled(recorder)
        if job.interrupted and not isinstance(outcome, CancellationError):
            outcome = cancelled(recorder)  # It ended in another way all the same.
        return raise_or_return(outcome, self._readers)

    async def acompletion(
        self, prompt: Any = NOT_GIVEN, root_prompt: str | None = None
    ) -> RLMChatCompletion:
        """Answer a question about a context; cancelling the task cancels the run.

        A Ctrl-C under `asyncio.run` cancels the main task; asyncio turns this into a bare
        `KeyboardInterrupt`, never our `CancellationError`. The `CancelledError` has the record so
        far as `trajectory` and `partial_answer`; it is the `__context__` of that
        `KeyboardInterrupt`.

        Args:
            prompt: As for `completion`.
            root_prompt: As for `completion`.

        Raises:
            RLMError: As `completion`.
            CancelledError: The task was cancelled; it has the `trajectory` and the
                `partial_answer` so far.
        """
        job, recorder = self._prepare(prompt, root_prompt)
        try:
            outcome = await job.wait_async()
        except asyncio.CancelledError as error:
            # It must stay this very error: timeouts and task groups compare it with theirs.
            stopped = cancelled(recorder)
            vars(error).update(trajectory=stopped.trajectory, partial_answer=stopped.partial_answer)
            raise
        await asyncio.to_thread(self._readers.flush)
        return raise_or_return(outcome, self._readers)

    def start(
        self,
        prompt: Any = NOT_GIVEN,
        root_prompt: str | None = None,
        *,
        at_end: AtEnd | None = None,
    ) -> RunHandle:
        """Start a run in the background and return at once.

        The run goes on to its end even if nobody keeps the handle. `close`, which also happens at
        the end of a `with` block, cancels it.

        Args:
            prompt: As for `completion`.
            root_prompt: As for `completion`.
            at_end: Awaited with the result or error before the run is `done`; it must not block.

        Returns:
            A handle to watch the run, wait for it, or stop it.
        """
        from rlm.api.run_handle import RunHandle

        job, recorder = self._prepare(prompt, root_prompt, at_end=at_end)
        return RunHandle(job, recorder, self._readers, self)

    def stream(
        self, prompt: Any = NOT_GIVEN, root_prompt: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield a run's events as they happen; leaving the loop cancels the run.

        Args:
            prompt: As for `completion`.
            root_prompt: As for `completion`.

        Raises:
            RLMError: As `completion`, after the last event.
        """
        return stream_events(
            lambda on_event: self._prepare(prompt, root_prompt, on_event)[0], self._readers
        )

    def close(self) -> None:
        """Free the kernels, connections and threads; safe to call again.

        Runs that are going are cancelled first and end with a `CancellationError`. A later
        completion starts everything again.
        """
        resources, self._resources = self._resources, None
        try:
            if resources is not None:
                resources.close()
        finally:
            self._readers.close()

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

    def _prepare(
        self,
        prompt: Any,
        root_prompt: str | None,
        *listeners: Callable[[Event], object],
        at_end: AtEnd | None = None,
    ) -> tuple[Job[Outcome], Recorder]:
        """Return the job of one completion, which has not started yet, and its recorder."""
        if prompt is NOT_GIVEN and self.config.replay is None:
            raise ArgumentError("The prompt is missing: the context that the question is about.")
        if root_prompt is not None and not isinstance(root_prompt, str):
            raise ArgumentError(f"root_prompt must be a str, not {type(root_prompt).__name__}.")
        loop, recorder = engine_loop(), self._readers.recorder(*listeners)
        run = partial(
            complete,
            self.config,
            self._resources_on(loop),
            recorder,
            prompt=prompt,
            root_prompt=root_prompt,
            started=time.perf_counter(),
        )
        return Job(loop, run_at_end(run, at_end)), recorder

    def _resources_on(self, loop: EngineLoop) -> Resources:
        """Return what is kept between completions; a forked child makes new ones."""
        with loop.lock:
            if self._resources is None or self._resources.loop is not loop:
                self._resources = Resources(
                    loop,
                    self,
                    persistent=self.config.persistent,
                    end_readers=self._readers.end_threads,
                )
            return self._resources
