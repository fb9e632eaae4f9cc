"""Asks models: picks the model, checks the limits before a call is sent, and counts its usage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from rlm import backends
from rlm.backends.model_info import context_window
from rlm.errors import ContextWindowError, RLMError, UnknownCostError
from rlm.events import CallUsage
from rlm.thoughts import split_thoughts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rlm.backends.base import LMClient, LMReply, ModelSpec
    from rlm.backends.retry import RateLimiter
    from rlm.core.limits import Limits, Reservation
    from rlm.events import Message

_FIRST_GUESS = 4.0
"""Characters per token until a provider has counted."""

_AT_MOST = 6.0
"""Characters per token that no real text exceeds; we refuse only what cannot fit even so."""

_MILLION = 1_000_000


class UnknownModelError(RLMError, LookupError):
    """A sub-call named a model that the run does not know."""


class ClientSource(Protocol):
    """Where a tree gets its clients: `Clients`, or a log in their place."""

    def prepare(self, spec: ModelSpec) -> object:
        """Start making a client, and return at once."""

    async def get(self, spec: ModelSpec, messages: Sequence[Message]) -> LMClient:
        """Return the client that answers these messages."""


class Clients:
    """The clients of one `RLM`: each is made when it is first needed, and lives until `close`."""

    def __init__(self) -> None:
        self._tasks: dict[ModelSpec, asyncio.Task[LMClient]] = {}

    def prepare(self, spec: ModelSpec) -> asyncio.Task[LMClient]:
        """Start making a client, which imports its SDK, and return at once."""
        task = self._tasks.get(spec)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(
                asyncio.to_thread(
                    backends.create, spec.backend, spec.backend_kwargs, spec.sampling_args
                )
            )
            task.add_done_callback(_look_at)
            self._tasks[spec] = task
        return task

    async def get(self, spec: ModelSpec, messages: Sequence[Message] = ()) -> LMClient:
        """Return a model's client; only a log needs to see the messages."""
        del messages
        return await asyncio.shield(self.prepare(spec))

    async def close(self) -> None:
        """Close every client."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            await asyncio.wait({task})
            if not task.cancelled() and task.exception() is None:
                await task.result().close()


def _look_at(task: asyncio.Task[Any]) -> None:
    """Retrieve a failure, so that asyncio does not warn when nobody awaits the client again."""
    if not task.cancelled():
        task.exception()


@dataclass(slots=True)
class _Meter:
    """Sums over the calls so far, from which the next calls are estimated.

    `measured_*` covers only calls whose tokens the provider counted. The other fields cover all
    calls, with estimates where the provider did not count.
    """

    measured_characters: int = 0
    measured_tokens: int = 0
    tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    cost: float = 0.0

    def count(self, tokens_in: int, tokens_out: int, cost: float) -> None:
        self.tokens += tokens_in + tokens_out
        self.output_tokens += tokens_out
        self.calls += 1
        self.cost += cost

    def measure(self, characters: int, tokens_in: int) -> None:
        self.measured_characters += characters
        self.measured_tokens += tokens_in

    @property
    def characters_per_token(self) -> float:
        """0 when no provider has counted yet."""
        return self.measured_characters / self.measured_tokens if self.measured_tokens else 0.0

    @property
    def cost_per_token(self) -> float:
        return self.cost / self.tokens if self.tokens else 0.0

    @property
    def mean_output(self) -> float:
        return self.output_tokens / self.calls if self.calls else 0.0


@dataclass(slots=True, kw_only=True)
class Models:
    """The models of one tree.

    Attributes:
        root: The model that the root run asks turn by turn.
        subs: The models that sub-calls may ask; the first is the default.
        prices: Model to USD per 1M input tokens and per 1M output tokens.
        context_windows: Model to tokens, as the user gave them.
        clients: Where the clients come from.
        limiter: Limits how many calls run at once, and repeats failed ones.
        limits: What may be spent.
    """

    root: ModelSpec
    subs: tuple[ModelSpec, ...]
    prices: Mapping[str, tuple[float, float]]
    context_windows: Mapping[str, int]
    clients: ClientSource
    limiter: RateLimiter
    limits: Limits
    _all: _Meter = field(default_factory=_Meter)
    _each: dict[ModelSpec, _Meter] = field(default_factory=dict)

    def route(self, name: str | None) -> ModelSpec:
        """Return the model of this name for a sub-call; None: the default of sub-calls.

        Raises:
            UnknownModelError: There is no such model; the message lists the known ones.
        """
        if name is None:
            return self.subs[0]
        for spec in self.subs:
            if spec.name == name:
                return spec
        known = ", ".join(dict.fromkeys(repr(spec.name) for spec in (self.root, *self.subs)))
        raise UnknownModelError(f"Unknown model {name!r}. Known models: {known}.")

    def window(self, spec: ModelSpec) -> int | None:
        """Return a model's context window in tokens; None when it is not known."""
        return self.context_windows.get(spec.name) or context_window(spec.name)

    def tokens(self, characters: int) -> int:
        """Estimate the tokens of a text by this tree's measured characters per token."""
        measured = self._all.characters_per_token or _FIRST_GUESS
        return round(characters / min(max(measured, 1.0), _AT_MOST))

    def require_fit(self, spec: ModelSpec, characters: int) -> None:
        """Check that a prompt of so many characters may fit into the model's window.

        Raises:
            ContextWindowError: It cannot, however the tokens are counted.
        """
        window = self.window(spec)
        if window is not None and characters / _AT_MOST > window:
            raise ContextWindowError(
                f"The prompt is too long for {spec.name!r}: {characters:,} characters, about "
                f"{self.tokens(characters):,} tokens, and its window is {window:,} tokens. "
                "Split it into smaller prompts.",
                backend=spec.backend,
                model=spec.name,
            )

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        stream: bool = False,
        on_retry: Callable[..., Any] | None = None,
    ) -> LMReply:
        """Ask a model once, within the limits.

        Returns:
            The reply, without thoughts in its text; its usage has the cost if it can be known.

        Raises:
            LimitExceededError: A limit is reached; nothing was sent.
            UnknownCostError: There is a budget, and the cost of an earlier call is unknown.
            BackendError: The provider failed, and so did the retries.
        """
        characters = count_characters(messages)
        reservation = self._reserve(spec, characters)
        usage = CallUsage()
        tokens = 0
        try:
            if self.limits.bounded:
                # Let all calls of a batch reserve before the first of them is sent.
                await asyncio.sleep(0)
                self.limits.check()
            client = await self.clients.get(spec, messages)
            reply = await self.limiter.ask(client, messages, stream=stream, on_retry=on_retry)
            usage = self._priced(spec, reply.usage, characters, len(reply.text))
            tokens_in, tokens_out = self._counts(reply.usage, characters, len(reply.text))
            tokens = tokens_in + tokens_out
            for meter in (self._all, self._each.setdefault(spec, _Meter())):
                meter.count(tokens_in, tokens_out, usage.cost or 0.0)
                if reply.usage.input_tokens:
                    meter.measure(characters, tokens_in)
            if usage.cost is None and self.limits.max_budget is not None:
                self.limits.cost_unknown = _unknown_cost(spec, self.limits.max_budget)
        finally:
            self.limits.commit(reservation, tokens=tokens, cost=usage.cost or 0.0)
        if client.backend != "replay":  # A log has a reply as it was read when it came.
            reply = _without_thoughts(reply)
        return replace(reply, usage=usage)

    def _reserve(self, spec: ModelSpec, characters: int) -> Reservation:
        """Reserve an estimate of what a call will take, from earlier calls or by a first guess."""
        if not self.limits.bounded:
            return self.limits.reserve(0.0, 0.0)
        measured = self._all.characters_per_token
        meter = self._each.get(spec, self._all)
        tokens_in, tokens_out = characters / (measured or _FIRST_GUESS), meter.mean_output
        tokens = tokens_in + tokens_out
        price = self.prices.get(spec.name)
        cost = tokens * meter.cost_per_token
        if price is not None:
            cost = _cost(price, tokens_in, tokens_out)
        # The very first call is refused only if it cannot fit, however its tokens are counted.
        return self.limits.reserve(
            tokens, cost, sure=1.0 if self._all.calls else _FIRST_GUESS / _AT_MOST
        )

    def _counts(self, usage: CallUsage, characters: int, written: int) -> tuple[int, int]:
        """Return tokens in and out, estimated where the provider did not count (or said 0)."""
        return (
            usage.input_tokens or self.tokens(characters),
            usage.output_tokens or self.tokens(written),
        )

    def _priced(
        self, spec: ModelSpec, usage: CallUsage, characters: int, written: int
    ) -> CallUsage:
        """Return the usage; where the provider gave no cost, it is computed from `prices`."""
        price = self.prices.get(spec.name)
        if usage.cost is not None or price is None:
            return usage
        return replace(usage, cost=_cost(price, *self._counts(usage, characters, written)))


def count_characters(messages: Sequence[Message]) -> int:
    """Return how many characters of text a chat has; images do not count."""
    total = 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            total += len(content)
        elif isinstance(content, list):
            total += sum(
                len(part["text"])
                for part in content
                if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
    return total


def _without_thoughts(reply: LMReply) -> LMReply:
    """Return a reply whose text is only what the model said."""
    thoughts, text = split_thoughts(reply.text)
    reasoning = "\n\n".join(filter(None, (reply.reasoning, thoughts)))
    return replace(reply, text=text, reasoning=reasoning)


def _unknown_cost(spec: ModelSpec, budget: float) -> UnknownCostError:
    return UnknownCostError(
        f"max_budget={budget} cannot be kept: the cost is unknown, because a reply of "
        f"{spec.name!r} (backend {spec.backend!r}) did not say what it cost. Give the price: "
        f"prices={{{spec.name!r}: (USD per 1M input tokens, USD per 1M output tokens)}}."
    )


def _cost(price: tuple[float, float], tokens_in: float, tokens_out: float) -> float:
    return (price[0] * tokens_in + price[1] * tokens_out) / _MILLION
