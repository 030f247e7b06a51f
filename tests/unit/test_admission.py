"""electron/admission.py: a few electrons are prepared at a time."""

from __future__ import annotations

import asyncio

import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall
from covalent_parallel_plugin.electron.admission import MAX_STAGING, _pool, acquire_slot


def test_no_more_have_a_turn_than_there_are_places_and_all_get_one() -> None:
    most = present = 0

    async def electron() -> None:
        nonlocal most, present
        mine = await acquire_slot(Cancellation())
        present += 1
        most = max(most, present)
        await asyncio.sleep(0)
        present -= 1
        mine.end()

    async def run() -> None:
        await asyncio.wait_for(asyncio.gather(*(electron() for _ in range(5 * MAX_STAGING))), 30)

    asyncio.run(run())
    assert most == MAX_STAGING


def test_a_turn_that_ends_twice_gives_one_place_back() -> None:
    async def run() -> int:
        turns = [await acquire_slot(Cancellation()) for _ in range(MAX_STAGING)]
        turns[0].end()
        turns[0].end()
        more = [asyncio.create_task(acquire_slot(Cancellation())) for _ in range(2)]
        await asyncio.sleep(0.01)
        got = sum(task.done() for task in more)
        more[1].cancel()
        return got

    assert asyncio.run(run()) == 1


def test_who_is_cancelled_while_waiting_takes_no_place() -> None:
    async def run() -> None:
        turns = [await acquire_slot(Cancellation()) for _ in range(MAX_STAGING)]
        waiting = asyncio.create_task(acquire_slot(Cancellation()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        turns[0].end()
        await asyncio.wait_for(acquire_slot(Cancellation()), 60)

    asyncio.run(run())


def test_a_wish_for_the_end_ends_the_wait_for_a_turn() -> None:
    async def run() -> None:
        turns = [await acquire_slot(Cancellation()) for _ in range(MAX_STAGING)]
        cancelled = Cancellation()
        waiting = asyncio.create_task(acquire_slot(cancelled))
        await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(CancelledCall):
            await asyncio.wait_for(waiting, 60)
        turns[0].end()
        await asyncio.wait_for(acquire_slot(Cancellation()), 60)

    asyncio.run(run())


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_place_that_comes_with_the_wish_for_the_end_is_given_back(is_stopped: bool) -> None:
    async def run() -> None:
        turns = [await acquire_slot(Cancellation()) for _ in range(MAX_STAGING)]
        for ticks in range(6):
            cancelled = Cancellation()
            waiting = asyncio.create_task(acquire_slot(cancelled))
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
            turns.append(await asyncio.wait_for(acquire_slot(Cancellation()), 60))

    asyncio.run(run())


def test_an_event_loop_that_is_closed_is_let_go() -> None:
    async def crowd() -> None:
        turns = [await acquire_slot(Cancellation()) for _ in range(MAX_STAGING)]
        waiting = asyncio.create_task(acquire_slot(Cancellation()))
        await asyncio.sleep(0)
        turns[0].end()
        await waiting

    for _ in range(3):
        asyncio.run(crowd())
    assert len(_pool) <= 1
