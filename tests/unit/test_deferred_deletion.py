from __future__ import annotations

import os
import threading
from collections.abc import Callable

from covalent_parallel_plugin.batch.deferred_deletion import DeferredDeletion

WAIT_SECONDS = 120.0


def noted(deleted: list[int], number: int) -> Callable[[], None]:
    return lambda: deleted.append(number)


def test_what_was_added_is_deleted_in_its_turn_without_a_flush() -> None:
    deletion, deleted, last = DeferredDeletion(seconds=0.1), list[int](), threading.Event()
    for number in range(50):
        assert deletion.add(noted(deleted, number))
    assert deletion.add(last.set)
    assert last.wait(WAIT_SECONDS)
    assert deletion.flush(WAIT_SECONDS) and not deletion.is_waiting
    assert sorted(deleted) == list(range(50))


def test_what_waits_is_kept_until_the_flush_which_deletes_all_of_it() -> None:
    deletion, deleted = DeferredDeletion(seconds=600.0), list[int]()
    assert all(deletion.add(noted(deleted, number)) for number in range(20))
    assert deletion.is_waiting and deleted == []
    assert deletion.flush(WAIT_SECONDS)
    assert sorted(deleted) == list(range(20)) and not deletion.is_waiting


def test_as_the_process_ends_all_is_to_be_deleted_at_once() -> None:
    deletion = DeferredDeletion(seconds=600.0)
    assert deletion.flush(WAIT_SECONDS)
    assert not deletion.add(lambda: None) and not deletion.is_waiting


def test_what_comes_beyond_the_limit_is_to_be_deleted_at_once() -> None:
    deletion, deleted = DeferredDeletion(seconds=600.0, most=2), list[int]()
    assert [deletion.add(noted(deleted, number)) for number in range(4)] == [True, True, False, False]
    assert deletion.flush(WAIT_SECONDS) and sorted(deleted) == [0, 1]


def test_a_deletion_that_fails_leaves_the_others_alone() -> None:
    deletion, deleted = DeferredDeletion(seconds=600.0), list[int]()
    assert deletion.add(lambda: deleted.append(1 // 0)) and deletion.add(noted(deleted, 7))
    assert deletion.flush(WAIT_SECONDS) and deleted == [7]


def test_a_flush_does_not_wait_for_a_bucket_that_does_not_answer() -> None:
    deletion, answered = DeferredDeletion(seconds=0.0), threading.Event()
    assert deletion.add(lambda: bool(answered.wait(WAIT_SECONDS)) and None)
    assert not deletion.flush(0.05) and deletion.is_waiting
    answered.set()
    assert deletion.flush(WAIT_SECONDS)


def test_a_copy_of_the_process_deletes_nothing_of_it() -> None:
    deletion = DeferredDeletion(seconds=600.0)
    assert deletion.add(lambda: os._exit(3))
    deletion.forget()
    assert not deletion.is_waiting and deletion.flush(WAIT_SECONDS)
