"""The use of one dispatch: of all its jobs together, and in words once it is above the limit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from covalent_parallel_plugin.batch.dispatch_use import DispatchUse
from covalent_parallel_plugin.cloud.batch import Event, JobStatus


def job(name: str, tasks: int = 1, ended: float | None = None) -> JobStatus:
    """A job that began to run at 1000 s."""
    events = [Event(f"Job state is set from SCHEDULED to RUNNING for job {name}.", 1000.0)]
    if ended is None:
        return JobStatus(name, "u", "RUNNING", {"RUNNING": tasks}, events)
    events.append(Event(f"Job state is set from RUNNING to SUCCEEDED for job {name}.", ended))
    return JobStatus(name, "u", "SUCCEEDED", {"SUCCEEDED": tasks}, events)


def test_all_jobs_of_a_dispatch_count_together() -> None:
    use = DispatchUse()
    use.seen("a", job("a"), 1, 1010.0)
    use.seen("b", job("b", tasks=8), 4, 1010.0)
    assert use.seconds == 10 + 20
    use.seen("a", job("a", ended=1015.0), 1, 1020.0)
    use.end("a", 1020.0)
    assert use.seconds == 15 + 20


def test_a_job_that_is_looked_at_no_longer_has_run_until_then() -> None:
    use = DispatchUse()
    use.seen("a", job("a"), 1, 1010.0)
    use.end("a", 1012.0)
    use.end("never seen", 1012.0)
    assert use.seconds == 12


def test_a_job_of_which_batch_tells_under_another_name_is_the_same_job() -> None:
    use = DispatchUse()
    use.seen("projects/lab/jobs/a", job("projects/123/jobs/a"), 1, 1010.0)
    use.end("projects/lab/jobs/a", 1015.0)
    assert use.seconds == 15


def test_what_is_above_the_limit_is_told_with_what_may_be_added() -> None:
    use = DispatchUse()
    use.seen("a", job("a", tasks=4), 1, 1000.0 + 3600.0)
    assert use.above(None, 5.0) == use.above(4.0, 5.0) == ""
    # each of 4 machines may run for a poll and until its task has stopped
    assert use.above(3.5, 6.0) == (
        "the machines of its dispatch have run for 4 h, and its max_machine_hours is 3.5; up to 0.04 h more may be used"
        " until all of them have stopped"
    )
    use.end("a", 1000.0 + 3600.0)
    assert use.above(3.5, 6.0).endswith("max_machine_hours is 3.5")


def test_the_trace_is_read_once(tmp_path: Path) -> None:
    trace = tmp_path / "d.jsonl"
    use = DispatchUse(trace)

    async def read() -> float:
        await asyncio.gather(use.read_trace(), use.read_trace())
        return use.seconds

    trace.write_text(json.dumps({"v": 1, "kind": "attempt", "node": 0, "t": {"running": 5, "delivered": 9}}) + "\n")
    assert asyncio.run(read()) == 4
    trace.write_text("")
    assert asyncio.run(read()) == 4


def test_dispatches_are_apart_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    first = DispatchUse.shared("dispatch-one")
    first.seen("a", job("a"), 1, 1010.0)
    assert DispatchUse.shared("dispatch-two").seconds == 0
    assert DispatchUse.shared("dispatch-one") is first
