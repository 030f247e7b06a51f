"""Forty electrons at once while calls, attempts and requests fail; `python -m benchmarks.chaos` does it with 300."""

from __future__ import annotations

import sys

import cloudpickle
import pytest

from benchmarks import chaos

ELECTRONS = 40


@pytest.fixture(scope="module")
def found() -> chaos.Outcome:
    # The tasks cannot import the benchmarks
    cloudpickle.register_pickle_by_value(sys.modules[chaos.__name__])
    try:
        return chaos.run(ELECTRONS, chaos.FAULTS)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[chaos.__name__])


def test_each_electron_gives_its_value(found: chaos.Outcome) -> None:
    assert (found.right, found.errors) == (ELECTRONS, [])


def test_each_job_has_ended(found: chaos.Outcome) -> None:
    assert found.unfinished_jobs == 0


def test_nothing_is_left_in_the_bucket_but_the_runners_archive(found: chaos.Outcome) -> None:
    assert found.objects == []


def test_no_temporary_file_is_left(found: chaos.Outcome) -> None:
    assert found.temporary_files == []


def test_each_kind_of_fault_took_place(found: chaos.Outcome) -> None:
    assert [name for name, count in found.faults.items() if count == 0] == []
