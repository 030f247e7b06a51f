"""batch/cancellation.py: what is waited for, unless the user wants the call's end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall

T = TypeVar("T")


def run(test: Callable[[Cancellation], Awaitable[T]]) -> T:
    async def bounded() -> T:
        return await asyncio.wait_for(test(Cancellation()), 30)

    return asyncio.run(bounded())


async def forever() -> None:
    await asyncio.sleep(3600)


def test_an_answer_is_given() -> None:
    async def test(cancelled: Cancellation) -> int:
        return await cancelled.unless(asyncio.sleep(0, 7))

    assert run(test) == 7


def test_an_error_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(lambda cancelled: cancelled.unless(fail()))


@pytest.mark.parametrize("sooner", [True, False])
def test_a_wish_for_the_end_ends_the_wait_and_what_was_asked(sooner: bool) -> None:
    async def test(cancelled: Cancellation) -> bool:
        asked = asyncio.ensure_future(forever())
        if sooner:
            cancelled.set()
        else:
            asyncio.get_running_loop().call_later(0.01, cancelled.set)
        with pytest.raises(CancelledCall):
            await cancelled.unless(asked)
        await asyncio.wait([asked])
        return asked.cancelled() and cancelled.is_set()

    assert run(test)


def test_all_who_wait_are_woken() -> None:
    async def test(cancelled: Cancellation) -> list[BaseException | None]:
        waiting = [asyncio.ensure_future(cancelled.unless(forever())) for _ in range(3)]
        await asyncio.sleep(0.01)
        cancelled.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(error) for error in run(test)] == [CancelledCall] * 3


def test_an_answer_that_is_there_is_given_whatever_is_wished() -> None:
    async def test(cancelled: Cancellation) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.set_result(7)
        cancelled.set()
        return await cancelled.unless(answer)

    assert run(test) == 7


def test_who_is_stopped_while_waiting_gets_that_and_gives_up_what_was_asked() -> None:
    async def test(cancelled: Cancellation) -> bool:
        asked = asyncio.ensure_future(forever())
        waiting = asyncio.ensure_future(cancelled.unless(asked))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        cancelled.set()
        await asyncio.wait([asked])
        return asked.cancelled()

    assert run(test)
