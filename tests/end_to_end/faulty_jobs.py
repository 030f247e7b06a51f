"""Machines that are lost, containers that do not start or end badly, and jobs that do not come to run."""

from __future__ import annotations

from faulty_electrons import (
    BEGUN,
    killed,
    killed_at_first,
    raises,
    raises_at_first,
    seven,
    sleeps,
    sleeps_at_first,
    slowly,
)
from faulty_runs import Case, struck

from covalent_parallel_plugin.emulator import Fault
from covalent_parallel_plugin.errors import (
    ImageError,
    JobCancelledError,
    MachineLostError,
    NoCapacityError,
    NoOutcomeError,
    SchedulingError,
    TaskKilledError,
    TimeLimitError,
)

# An image whose `python3` is another program, which does nothing
IDLE_IMAGE = "idle:latest"

MACHINES: dict[str, Case] = {
    "preempted-once": Case(sleeps_at_first, [struck("preempt", attempt=0, after_output=BEGUN)], attempts=2),
    "preempted-before-it-ran": Case(seven, [struck("preempt", attempt=0, before_run=True)], attempts=1),
    "preempted-always": Case(
        sleeps,
        [struck("preempt", after_output=BEGUN)],
        {"spot": True, "retries": 1},
        error=MachineLostError,
        words=["50001", "preempted", "spot_fallback", "has begun"],
        jobs=["FAILED"],
        attempts=2,
    ),
    "preempted-never-ran": Case(
        seven,
        [struck("preempt", before_run=True)],
        {"spot": True, "retries": 1},
        error=MachineLostError,
        words=["50001", "preempted"],
        jobs=["FAILED"],
        attempts=0,
    ),
    "fallback": Case(
        seven,
        [struck("preempt", provisioning="SPOT")],
        {"spot": True, "spot_fallback": True, "retries": 1},
        jobs=["FAILED", "SUCCEEDED"],
        attempts=1,
    ),
    "lost-once": Case(sleeps_at_first, [struck("lost", attempt=0, after_output=BEGUN)], attempts=2),
    "rebooted-once": Case(sleeps_at_first, [struck("reboot", attempt=0, after_output=BEGUN)], attempts=2),
    "recreated-once": Case(sleeps_at_first, [struck("recreate", attempt=0, after_output=BEGUN)], attempts=2),
    "lost-always": Case(
        sleeps,
        [struck("lost", after_output=BEGUN)],
        {"retries": 1},
        error=MachineLostError,
        words=["50002", "stopped reporting", "retries"],
        jobs=["FAILED"],
        attempts=2,
    ),
    "rebooted-always": Case(
        sleeps,
        [struck("reboot", after_output=BEGUN)],
        {"retries": 0},
        error=MachineLostError,
        words=["50003", "rebooted"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "recreated-always": Case(
        sleeps,
        [struck("recreate", after_output=BEGUN)],
        {"retries": 0},
        error=MachineLostError,
        words=["50006", "recreated"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "unresponsive": Case(
        sleeps,
        [struck("unresponsive", after_output=BEGUN)],
        error=MachineLostError,
        words=["50004", "respond"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "went-on-unseen": Case(slowly, [struck("lost", attempt=0, goes_on=True)], attempts=2),
    # Batch says that the task failed, and its outcome comes
    "outcome-of-a-failed-job": Case(
        slowly, [struck("lost", goes_on=True)], {"retries": 0}, jobs=["FAILED"], attempts=1
    ),
    "twice-at-once": Case(slowly, [struck("twice")]),
    "twice-in-turn": Case(slowly, [struck("twice", concurrent=False)]),
    "told-late": Case(seven, [struck("late", seconds=2)], attempts=1),
}

CONTAINERS: dict[str, Case] = {
    "no-image": Case(
        seven,
        [struck("no_image")],
        error=ImageError,
        words=["125", "image", "container_image_uri"],
        jobs=["FAILED"],
    ),
    "no-python": Case(
        seven,
        [struck("exit", exit_code=127, before_run=True)],
        error=ImageError,
        words=["127", "python3", "container_image_uri"],
        jobs=["FAILED"],
    ),
    "killed-whole": Case(
        sleeps,
        [struck("exit", exit_code=137, after_output=BEGUN)],
        error=TaskKilledError,
        words=["137", "memory"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "killed-child": Case(killed, error=TaskKilledError, words=["SIGKILL", "137", "memory", "512 MB"], attempts=1),
    "time-limit": Case(
        sleeps,
        options={"time_limit": 10},
        error=TimeLimitError,
        words=["time_limit of 10 s", "has begun"],
        attempts=1,
    ),
    "batchs-time-limit": Case(
        sleeps,
        [struck("exit", exit_code=50005, after_output=BEGUN)],
        error=TimeLimitError,
        words=["50005", "time_limit"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "raises": Case(raises, error=ValueError, words=["the user's own"], attempts=1),
    "raises-and-is-retried": Case(raises_at_first, options={"retry_exceptions": True}, attempts=3),
    "killed-and-is-retried": Case(killed_at_first, options={"retry_exceptions": True}, attempts=2),
    "raises-to-the-end": Case(
        raises,
        options={"retry_exceptions": True, "retries": 1},
        error=ValueError,
        words=["the user's own"],
        attempts=2,
    ),
    "no-outcome": Case(
        seven,
        options={"container_image_uri": IDLE_IMAGE},
        error=NoOutcomeError,
        words=["no outcome", "succeeded"],
    ),
}

SCHEDULING: dict[str, Case] = {
    "machine-refused": Case(
        seven,
        [Fault("job.refused")],
        error=SchedulingError,
        words=["no such machine type", "machine_type", "CODE_MACHINE_TYPE_NOT_FOUND"],
        jobs=["FAILED"],
        attempts=0,
    ),
    "field-refused": Case(
        seven,
        [Fault("job.refused", code="CODE_GCE_INVALID_FIELD_VALUE")],
        error=SchedulingError,
        words=["refuses the machine", "CODE_GCE_INVALID_FIELD_VALUE"],
        jobs=["FAILED"],
        attempts=0,
    ),
    "no-agent": Case(
        seven,
        [Fault("job.no_agent", window_seconds=120)],
        error=SchedulingError,
        words=["roles/batch.agentReporter", "Private Google Access", "within time window 120 seconds"],
        jobs=["FAILED"],
    ),
    "quota-for-ever": Case(
        seven,
        [Fault("job.quota")],
        {"queue_limit": 5},
        error=NoCapacityError,
        words=["quota", "queue_limit of 5 s", "CODE_GCE_QUOTA_EXCEEDED"],
        jobs=["CANCELLED"],
        attempts=0,
    ),
    "quota-for-a-while": Case(seven, [Fault("job.quota", seconds=2)], {"queue_limit": 600}),
    "no-capacity-for-ever": Case(
        seven,
        [Fault("job.no_capacity", state="SCHEDULED")],
        {"queue_limit": 5},
        error=NoCapacityError,
        words=["no such machine free", "queue_limit of 5 s", "spot=False"],
        jobs=["CANCELLED"],
        attempts=0,
    ),
    "no-capacity-for-a-while": Case(seven, [Fault("job.no_capacity", seconds=2)], {"queue_limit": 600}),
    "somebody-cancels": Case(
        sleeps,
        [Fault("job.cancelled", after_output=BEGUN)],
        error=JobCancelledError,
        words=["somebody else cancelled"],
        jobs=["CANCELLED"],
    ),
    "somebody-cancels-for-ever": Case(
        sleeps,
        [Fault("job.cancelled", after_output=BEGUN), Fault("job.stuck_cancelling")],
        error=JobCancelledError,
        words=["somebody else cancelled"],
        jobs=["CANCELLATION_IN_PROGRESS"],
    ),
    "somebody-deletes": Case(
        sleeps,
        [Fault("job.vanish", after_output=BEGUN)],
        error=JobCancelledError,
        words=["somebody deleted it, or it vanished"],
        jobs=[],
    ),
}
