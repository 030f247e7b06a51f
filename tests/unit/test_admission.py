"""dispatch/turns.py: a few electrons are prepared at a time."""

from __future__ import annotations

import asyncio

import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall
from covalent_parallel_plugin.electron.admission import AT_ONCE, _places, turn


def test_no_more_have_a_turn_than_there_are_places_and_all_get_one() -> None:
    most = present = 0

    async def electron() -> None:
        nonlocal most, present
        mine = await turn(Cancellation())
        present += 1
        most = max(most, present)
        await asyncio.sleep(0)
        present -= 1
        mine.end()

    async def run() -> None:
        await asyncio.wait_for(asyncio.gather(*(electron() for _ in range(5 * AT_ONCE))), 30)

    asyncio.run(run())
    assert most == AT_ONCE


def test_a_turn_that_ends_twice_gives_one_place_back() -> None:
    async def run() -> int:
        turns = [await turn(Cancellation()) for _ in range(AT_ONCE)]
        turns[0].end()
        turns[0].end()
        more = [asyncio.create_task(turn(Cancellation())) for _ in range(2)]
        await asyncio.sleep(0.01)
        got = sum(task.done() for task in more)
        more[1].cancel()
        return got

    assert asyncio.run(run()) == 1


def test_who_is_cancelled_while_waiting_takes_no_place() -> None:
    async def run() -> None:
        turns = [await turn(Cancellation()) for _ in range(AT_ONCE)]
        waiting = asyncio.create_task(turn(Cancellation()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        turns[0].end()
        await asyncio.wait_for(turn(Cancellation()), 10)

    asyncio.run(run())


def test_a_wish_for_the_end_ends_the_wait_for_a_turn() -> None:
    async def run() -> None:
        turns = [await turn(Cancellation()) for _ in range(AT_ONCE)]
        cancelled = Cancellation()
        waiting = asyncio.create_task(turn(cancelled))
        await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(CancelledCall):
            await asyncio.wait_for(waiting, 10)
        turns[0].end()
        await asyncio.wait_for(turn(Cancellation()), 10)

    asyncio.run(run())


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_place_that_comes_with_the_wish_for_the_end_is_given_back(is_stopped: bool) -> None:
    async def run() -> None:
        turns = [await turn(Cancellation()) for _ in range(AT_ONCE)]
        for ticks in range(6):
            cancelled = Cancellation()
            waiting = asyncio.create_task(turn(cancelled))
            await asyncio.sleep(0)
            turns.pop().end()
            for _ in range(ticks):
                await asyncio.sleep(0)
            if is_stopped:
                waiting.cancel()
            else:
                cancelled.set()
            (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
            if not isinstance(outcome, BaseException):
                outcome.end()
            turns.append(await asyncio.wait_for(turn(Cancellation()), 10))

    asyncio.run(run())


def test_an_event_loop_that_is_closed_is_let_go() -> None:
    async def crowd() -> None:
        turns = [await turn(Cancellation()) for _ in range(AT_ONCE)]
        waiting = asyncio.create_task(turn(Cancellation()))
        await asyncio.sleep(0)
        turns[0].end()
        await waiting

    for _ in range(3):
        asyncio.run(crowd())
    assert len(_places) <= 1
