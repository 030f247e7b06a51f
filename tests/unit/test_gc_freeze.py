"""gc_freeze.py: what the garbage collector is spared while electrons are in flight, and gets back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from covalent_parallel_plugin.covalent_api import gc_freeze


class Cycle:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def nothing_is_set_aside() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_was_there_is_set_aside_while_something_is_in_flight() -> None:
    gc_freeze.begin()
    gc_freeze.begin()
    gc_freeze.end()
    during = gc.get_freeze_count()
    gc_freeze.end()
    assert during > 0
    assert gc.get_freeze_count() == 0


def test_what_was_set_aside_is_freed_afterwards() -> None:
    kept = Cycle()
    gone = weakref.ref(kept)
    gc_freeze.begin()
    del kept
    gc_freeze.end()
    gc.collect()
    assert gone() is None


def test_what_the_process_has_set_aside_itself_stays_so() -> None:
    gc.freeze()
    gc_freeze.begin()
    gc_freeze.end()
    assert gc.get_freeze_count() > 0
