"""What the benchmarks compute of electrons that are not run, and how they arrive."""

from __future__ import annotations

import pytest

from benchmarks.same_shape import ELECTRONS_A_SECOND, arrivals
from benchmarks.vm_model import Computed


def test_electrons_beyond_the_vms_wait_for_the_next_wave() -> None:
    assert Computed(electrons=33, vms=16, wave_seconds=10.0).makespan == 30.0


def test_each_electron_holds_a_vm_and_is_billed_a_minute_at_least() -> None:
    short, long = Computed(4, 16, 10.0), Computed(4, 16, 90.5)

    assert (short.vm_seconds, short.billed) == (40.0, 240)
    assert (long.vm_seconds, long.billed) == (362.0, 364)


def test_an_electron_is_looked_at_until_its_own_wave_has_ended() -> None:
    # created, one and a half looks besides, and a look every 5 s for 10 s and for 20 s
    assert Computed(electrons=2, vms=1, wave_seconds=10.0).batch_calls == 2 * 2.5 + 2 + 4


@pytest.mark.parametrize("electrons", [1, ELECTRONS_A_SECOND, ELECTRONS_A_SECOND + 1, 200])
def test_every_way_to_submit_carries_every_electron(electrons: int) -> None:
    for way, jobs in arrivals(electrons).items():
        assert sum(tasks for _, tasks in jobs) == electrons, way
        assert all(tasks > 0 for _, tasks in jobs), way


def test_no_job_is_made_before_its_last_electron_has_arrived() -> None:
    for way, jobs in arrivals(200).items():
        carried = 0
        for after, tasks in sorted(jobs):
            carried += tasks
            assert after >= (carried - 1) / ELECTRONS_A_SECOND, way
