"""What a task prints on Batch, from this machine or another one, to its end: also in the rounds after a lost one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from covalent_parallel_plugin.errors import CloudError
from covalent_parallel_plugin.sweep.printed_piece import PrintedPiece

if TYPE_CHECKING:
    from covalent_parallel_plugin.cli.sweep.task_printer import TaskPrinter
    from covalent_parallel_plugin.cloud.batch import JobStatus, TaskStatus
    from covalent_parallel_plugin.cloud.interfaces import Bucket
    from covalent_parallel_plugin.cloud.timed_calls import Deadline
    from covalent_parallel_plugin.results.follow_requests import FollowRequests
    from covalent_parallel_plugin.settings import Settings
    from covalent_parallel_plugin.sweep.batch.task_output import PrintedOutput, RoundTask

LOOK_SECONDS = 60.0
# Whatever the deadline is, for Batch's answer
LEAST_SECONDS = 3.0
CLEANUP_SECONDS = 8.0
# How long nothing can be read before following ends
OUTAGE_SECONDS = 600.0


@dataclass(frozen=True)
class FollowPauses:
    """Seconds between two looks at the output, and at its job; and after whose end no other round is waited for."""

    look: float = 2.0
    job: float = 10.0
    next_round: float = 60.0


@dataclass(frozen=True)
class FollowedTask:
    """A task of a sweep on Batch.

    Attributes:
        task: in the newest round that has it.
        known_end: how it ended by what this machine knows, since it was looked for; None if it does not.
        is_run_alive: whether a run on this machine may have it in another round.
    """

    sweep: str
    settings: Settings
    store: Bucket
    task: RoundTask
    known_end: Callable[[], str | None] = lambda: None
    is_run_alive: Callable[[], bool] = lambda: False


class TaskOnBatch:
    """Prints the output of one task."""

    def __init__(self, followed: FollowedTask, printer: TaskPrinter, pauses: FollowPauses = FollowPauses()) -> None:
        self._followed, self._printer, self._pauses = followed, printer, pauses
        self._task = followed.task
        self._told = ""
        # Since when the job is known to have ended
        self._over_since: float | None = None

    def show(self, deadline: Deadline) -> None:
        """Print what is there by the deadline, or what the task waits for. Raises CloudError, OutcomeError."""
        output = self._output()
        self._look(output, deadline)
        self._printer.finish()
        if not output.has_begun:
            self._tell(waiting_text(*self._status(deadline)))

    def follow(self) -> None:
        """Print what comes until the task has ended. Raises CloudError, OutcomeError."""
        from covalent_parallel_plugin.cloud.timed_calls import call_within
        from covalent_parallel_plugin.results.follow_requests import FollowRequests

        requests = FollowRequests(self._followed.store)
        try:
            try:
                self._follow(requests)
            finally:
                self._printer.finish()
        finally:
            # Also where nobody reads what is printed any more; one that cannot be deleted expires by itself
            with contextlib.suppress(CloudError):
                call_within(CLEANUP_SECONDS, "the bucket", requests.end)

    def _follow(self, requests: FollowRequests) -> None:
        from covalent_parallel_plugin.cloud.timed_calls import Deadline

        output, job_due = self._output(), 0.0
        failed_since: float | None = None
        while True:
            now = time.monotonic()
            try:
                if self._look(output, Deadline(LOOK_SECONDS)):
                    return
                if now >= job_due:
                    job_due = now + self._pauses.job
                    if self._is_over(output, Deadline(LOOK_SECONDS)):
                        if self._is_ended(output):
                            return
                        output = self._output() if self._over_since is None else output
                requests.renew({str(self._task.address.round): self._task.address}, 1)
                failed_since = None
            except CloudError as error:
                failed_since = now if failed_since is None else failed_since
                if now - failed_since > OUTAGE_SECONDS:
                    raise
                self._tell(f"cannot be read just now: {str(error).partition(chr(10))[0]}")
            time.sleep(self._pauses.look)

    def _output(self) -> PrintedOutput:
        from covalent_parallel_plugin.sweep.batch.task_output import PrintedOutput

        return PrintedOutput(self._followed.store, self._task)

    def _look(self, output: PrintedOutput, deadline: Deadline) -> bool:
        """Print what is new; return whether the task has ended."""
        is_ended = False
        for found in output.look(deadline):
            if isinstance(found, PrintedPiece):
                self._printer.take(found)
            else:
                self._printer.end_attempt(found)
                is_ended |= found.is_last
        self._printer.flush()
        while output.refused:
            self._printer.tell(f"warning: {output.refused.pop(0)}")
        return is_ended

    def _status(self, deadline: Deadline) -> tuple[JobStatus | None, TaskStatus | None]:
        from covalent_parallel_plugin.cloud.timed_calls import call_within
        from covalent_parallel_plugin.sweep.batch.sweep_job import job_id
        from covalent_parallel_plugin.sweep.batch.waiting_jobs import look_at_task

        followed, address = self._followed, self._task.address
        name = job_id(followed.sweep, address.sweep.sweep_id, address.round)
        ask = partial(look_at_task, followed.settings, f"{followed.settings.parent}/jobs/{name}", self._task.job_task)
        return call_within(max(deadline.share(LOOK_SECONDS), LEAST_SECONDS), "Batch", ask)

    def _is_over(self, output: PrintedOutput, deadline: Deadline) -> bool:
        """Whether its job had ended before the last look at the output."""
        job, task = self._status(deadline)
        was_over = self._over_since is not None
        if job is not None and not job.is_terminal:
            self._over_since = None
            if not output.has_begun:
                self._tell(waiting_text(job, task))
            return False
        if self._over_since is None:
            self._over_since = time.monotonic()
        return was_over

    def _is_ended(self, output: PrintedOutput) -> bool:
        """Whether nothing more comes of the task, whose job ended without its outcome; else go on with a new round."""
        known = self._followed.known_end()
        following = self._next_round() if known is None else None
        if known is None and following is None:
            assert self._over_since is not None  # whoever calls has seen it
            is_time_up = time.monotonic() - self._over_since > self._pauses.next_round
            if self._followed.is_run_alive() or not is_time_up:
                return False
            known = "its job has ended, and it has reported nothing: `covalent-parallel sweep run` runs it again"
        for end in output.give_up():
            self._printer.end_attempt(end)
        if following is not None:
            self._printer.start_over()
            self._printer.tell(f"runs again, in round {following.address.round}")
            self._task, self._over_since = following, None
            return False
        assert known is not None
        self._printer.finish()
        self._tell(known)
        return True

    def _next_round(self) -> RoundTask | None:
        from covalent_parallel_plugin.protocol.sweep_objects import setup_name
        from covalent_parallel_plugin.sweep.batch.found_sweep import find_task

        address, key, store = self._task.address, self._task.key, self._followed.store
        number = address.round + 1
        # Listed first: one that is written just now would be read as one that is gone
        name = setup_name(address.sweep.folder, number)
        if name not in store.names(name):
            return None
        found = find_task(store, address.sweep, [number], lambda task: task.key == key)
        return None if isinstance(found, list) else found

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._printer.tell(text)


def waiting_text(job: JobStatus | None, task: TaskStatus | None) -> str:
    """Say what a task waits for that has printed nothing yet."""
    if job is None:
        return "its job is not on Batch, or not yet"
    if job.is_terminal:
        return f"its job has ended ({job.state.lower()}), and nothing of it is here"
    if task is not None and task.state in ("ASSIGNED", "RUNNING"):
        return (
            "its machine is at work, and has delivered no output yet: what a task prints comes from its tenth second on"
        )
    counts = ", ".join(f"{count} {state.lower()}" for state, count in job.counts.items() if count)
    state = job.state.lower().replace("_", " ")
    return f"waits for its turn: its job is {state}" + (f", tasks: {counts}" if counts else "")
