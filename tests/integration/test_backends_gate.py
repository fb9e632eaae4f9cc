"""The gate: how many calls at once, what is asked again, and when it gives up."""

from __future__ import annotations

import asyncio
import email.utils
import time
from typing import TYPE_CHECKING, Any

import pytest

from rlm.backends import create
from rlm.backends.retry import RateLimiter
from rlm.demo.server import LMRequest, LMResponse
from rlm.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rlm.backends.base import LMClient
    from rlm.demo.server import StandInServer
    from rlm.events import Message

    Start = Callable[..., StandInServer]

HELLO: list[Message] = [{"role": "user", "content": "hello"}]
QUICK = 0.001


def using(server: StandInServer, work: Callable[[LMClient], Awaitable[Any]], **kwargs: Any) -> Any:
    async def run() -> Any:
        client = create("vllm", {"model_name": "m", "base_url": server.base_url, **kwargs})
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def failing(times: int, failure: LMResponse) -> Callable[[LMRequest], LMResponse]:
    left = [failure] * times
    return lambda _: left.pop() if left else LMResponse(text="at last")


@pytest.mark.parametrize(
    "failure",
    [
        *(LMResponse(status=status) for status in (408, 409, 429, 500, 502, 503, 529)),
        LMResponse(raw=b"not json"),
        LMResponse(text="a", cut_after=0),
    ],
    ids=lambda failure: str(failure.status),
)
def test_a_temporary_failure_is_retried_and_the_caller_is_told(
    server: Start, failure: LMResponse
) -> None:
    standin = server(failing(2, failure))
    told: list[tuple[str, dict[str, Any]]] = []
    gate = RateLimiter(first_delay=QUICK)
    reply = using(
        standin, lambda c: gate.ask(c, HELLO, on_retry=lambda text, data: told.append((text, data)))
    )
    assert reply.text == "at last"
    assert [data["attempt"] for _, data in told] == [2, 3]
    assert all(data["model"] == "m" and data["backend"] == "vllm" for _, data in told)
    assert "Asking again" in told[0][0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_permanent_failure_is_not_retried(server: Start, status: int) -> None:
    standin = server(lambda _: LMResponse(status=status))
    with pytest.raises(BackendError) as caught:
        using(standin, lambda c: RateLimiter(first_delay=QUICK).ask(c, HELLO))
    assert caught.value.status == status
    assert len(standin.requests) == 1


@pytest.mark.parametrize(
    ("kwargs", "asked"), [({}, 5), ({"max_retries": 1}, 2), ({"max_retries": 0}, 1)]
)
def test_retries_end_after_a_while(server: Start, kwargs: dict[str, Any], asked: int) -> None:
    standin = server(lambda _: LMResponse(status=503))
    with pytest.raises(BackendError):
        using(standin, lambda c: RateLimiter(first_delay=QUICK).ask(c, HELLO), **kwargs)
    assert len(standin.requests) == asked


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "date"])
def test_retry_after_is_respected(server: Start, form: str) -> None:
    def headers() -> dict[str, str]:
        if form == "seconds":
            return {"retry-after": "1"}
        if form == "milliseconds":
            return {"retry-after-ms": "1000"}
        return {"retry-after": email.utils.formatdate(time.time() + 2, usegmt=True)}

    standin = server(failing(1, LMResponse(status=429, headers=headers())))
    waits: list[float] = []
    gate = RateLimiter(first_delay=QUICK)
    reply = using(
        standin, lambda c: gate.ask(c, HELLO, on_retry=lambda _, data: waits.append(data["wait"]))
    )
    assert reply.text == "at last"
    assert 0.5 < waits[0] < 3


@pytest.mark.parametrize("wish", ["3600", "soon", "nan", "-5"])
def test_an_absurd_retry_after_is_ignored(server: Start, wish: str) -> None:
    standin = server(failing(1, LMResponse(status=503, headers={"retry-after": wish})))
    work = lambda c: RateLimiter(first_delay=QUICK).ask(c, HELLO)  # noqa: E731 - said twice below
    if wish == "3600":
        with pytest.raises(BackendError) as caught:
            using(standin, work)
        assert "3,600 s" in caught.value.__notes__[0]
    else:
        assert using(standin, work).text == "at last"


def test_no_more_calls_than_the_width_run_at_once_and_all_are_answered(server: Start) -> None:
    most = 0

    def reply(request: LMRequest) -> LMResponse:
        nonlocal most
        most = max(most, gate.running)
        return LMResponse(text=request.prompt, delay=0.01)

    standin = server(reply)
    gate = RateLimiter(width=7)

    async def work(client: LMClient) -> list[str]:
        calls = (gate.ask(client, [{"role": "user", "content": str(n)}]) for n in range(50))
        return [reply.text for reply in await asyncio.gather(*calls)]

    assert using(standin, work) == [str(n) for n in range(50)]
    assert most == 7
    assert gate.running == 0


def test_a_429_halves_the_width_once_for_all_calls_in_flight_and_it_grows_back(
    server: Start,
) -> None:
    standin = server(failing(8, LMResponse(status=429, delay=0.05)))
    gate = RateLimiter(width=8, first_delay=QUICK)

    async def work(client: LMClient) -> tuple[int, int]:
        await asyncio.gather(*(gate.ask(client, HELLO) for _ in range(8)))
        halved = gate.width
        for _ in range(40):
            await gate.ask(client, HELLO)
        return halved, gate.width

    halved, later = using(standin, work)
    assert halved in {4, 5}
    assert later == 8


def test_a_call_can_be_cancelled_while_it_waits_for_a_slot_a_reply_or_a_retry(
    server: Start,
) -> None:
    def reply(request: LMRequest) -> LMResponse:
        if request.prompt == "slow":
            return LMResponse(text="late", delay=60)
        return LMResponse(status=503, headers={"retry-after": "60"})

    standin = server(reply)
    gate = RateLimiter(width=1)

    async def work(client: LMClient) -> None:
        told = asyncio.Event()
        waits = asyncio.create_task(
            gate.ask(client, HELLO, on_retry=lambda *_: told.set()), name="another attempt"
        )
        await told.wait()
        other = create("vllm", {"model_name": "m", "base_url": standin.base_url})
        slow = asyncio.create_task(gate.ask(other, [{"role": "user", "content": "slow"}]))
        await asyncio.sleep(0)
        assert gate.running == 1
        queued = [asyncio.create_task(gate.ask(other, HELLO)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in (*queued, slow, waits):
            task.cancel()
        ended = await asyncio.gather(*queued, slow, waits, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        assert gate.running == 0
        await other.close()

    using(standin, work)


def test_a_slot_granted_at_the_moment_of_a_cancellation_is_not_lost(server: Start) -> None:
    standin = server(lambda _: "fine")
    gate = RateLimiter(width=1)

    async def work(client: LMClient) -> None:
        for _ in range(50):
            first = asyncio.create_task(gate.ask(client, HELLO))
            second = asyncio.create_task(gate.ask(client, HELLO))
            first.add_done_callback(lambda _, task=second: task.cancel())  # type: ignore[misc]
            await asyncio.gather(first, second, return_exceptions=True)
        assert gate.running == 0
        assert (await gate.ask(client, HELLO)).text == "fine"

    using(standin, work)


def test_one_providers_retry_after_does_not_delay_another(server: Start) -> None:
    busy = server(lambda _: LMResponse(status=429, headers={"retry-after": "60"}))
    free = server(lambda _: "fine")
    gate = RateLimiter(width=4)

    async def work(client: LMClient) -> str:
        told = asyncio.Event()
        held = asyncio.create_task(gate.ask(client, HELLO, on_retry=lambda *_: told.set()))
        await told.wait()
        other = create("vllm", {"model_name": "m", "base_url": free.base_url})
        reply = await gate.ask(other, HELLO)
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        await other.close()
        return reply.text

    assert using(busy, work) == "fine"
