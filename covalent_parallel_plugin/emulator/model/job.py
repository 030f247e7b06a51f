"""Keep the state of a job and its tasks, and apply the rules by which they change: pure, time comes in.

States and their numbers are those of `google.cloud.batch.v1`, event texts those that Batch writes. Times are seconds
since the epoch. A `Job` is not safe for threads: whoever shares one guards it with a lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import RpcError
from .job_states import ENDED, STOPPING, JobState, RetryRule, StatusEvent, TaskState

__all__ = ["Job", "JobState", "RetryRule", "Task", "TaskState", "TransitionRefused"]


class TransitionRefused(RpcError):
    """The job's state does not allow the request."""

    def __init__(self, message: str) -> None:
        super().__init__("FAILED_PRECONDITION", message)


@dataclass(slots=True)
class Task:
    """One task of the job's only group; `attempt` is the 0-based number of the current or last attempt."""

    index: int
    state: TaskState = TaskState.PENDING
    attempt: int = 0
    instance: str = ""
    events: list[StatusEvent] = field(default_factory=list)


class Job:
    """A job's state, tasks and events.

    `full_name` is the name that event texts carry (with the project's number). `revision` grows with every change,
    so that readers know when what they made of the job has become stale. `on_end` is called once, at the job's end.
    """

    def __init__(
        self,
        full_name: str,
        *,
        task_count: int,
        parallelism: int,
        retry: RetryRule,
        now: float,
        on_end: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.full_name = full_name
        self.parallelism = parallelism
        self.retry = retry
        self.state = JobState.QUEUED
        self.created = self.updated = now
        self.started: float | None = None
        self.ended: float | None = None
        self.events: list[StatusEvent] = []
        self.tasks = [Task(index) for index in range(task_count)]
        self.counts: dict[TaskState, int] = {TaskState.PENDING: task_count}
        self.revision = 0
        self.active = 0
        self._was_scheduled = False
        self._has_given_up = False
        self._next_index = 0
        self._again: deque[int] = deque()
        self._on_end = on_end

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def is_stopping(self) -> bool:
        return self.state in STOPPING

    @property
    def lists_tasks(self) -> bool:
        """Return whether tasks are shown: a job that is queued, or was refused at scheduling, has none."""
        return self._was_scheduled

    @property
    def has_startable(self) -> bool:
        """Return whether a task waits and `parallelism` allows one more."""
        if self.state not in (JobState.SCHEDULED, JobState.RUNNING) or self.active >= self.parallelism:
            return False
        return bool(self._again) or self._next_index < len(self.tasks)

    @property
    def waiting(self) -> int:
        """The number of tasks that wait for a start; none in a job that has ended or is being ended."""
        if self.has_ended or self.is_stopping:
            return 0
        return len(self._again) + len(self.tasks) - self._next_index

    @property
    def startable(self) -> int:
        """The number of tasks that wait and that `parallelism` allows to start, once the job is scheduled."""
        return min(self.waiting, self.parallelism - self.active)

    def run_seconds(self, now: float) -> float:
        """Return seconds since the job's first task ran, until `now` or the job's end."""
        if self.started is None:
            return 0.0
        return (now if self.ended is None else self.ended) - self.started

    def schedule(self, now: float) -> None:
        """QUEUED becomes SCHEDULED; anything else stays."""
        if self.state is JobState.QUEUED:
            self._was_scheduled = True
            self._set_state(JobState.SCHEDULED, now)

    def assign(self, instance: str, now: float) -> Task:
        """Take the next task that waits and give it to a VM; call only when `has_startable`."""
        if self._again:
            task = self.tasks[self._again.popleft()]
        else:
            task = self.tasks[self._next_index]
            self._next_index += 1
        self.active += 1
        task.instance = instance
        self._move(task, TaskState.ASSIGNED, now)
        return task

    def run(self, task: Task, now: float) -> None:
        """Record that the task's attempt has started; the first one makes the job RUNNING."""
        self._move(task, TaskState.RUNNING, now)
        if self.state is JobState.SCHEDULED:
            self.started = now
            self._set_state(JobState.RUNNING, now)

    def finish(self, task: Task, exit_code: int, now: float) -> bool:
        """Record that the task's attempt has ended; return whether the task waits for another attempt.

        The last task's end makes the job SUCCEEDED or FAILED; a job being cancelled or deleted retries nothing.
        """
        self.active -= 1
        if exit_code == 0:
            self._move(task, TaskState.SUCCEEDED, now)
        else:
            self._move(task, TaskState.FAILED, now, exit_code)
            if not self.is_stopping and not self._has_given_up and self.retry.allows(exit_code, task.attempt):
                task.attempt += 1
                self._move(task, TaskState.PENDING, now)
                self._again.append(task.index)
                return True
        at_rest = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.UNEXECUTED)
        if not self.is_stopping and sum(self.counts.get(state, 0) for state in at_rest) == len(self.tasks):
            self._conclude(now)
        return False

    def note(self, text: str, now: float) -> None:
        """Add an event to a job whose state does not change."""
        self.events.append(StatusEvent(now, text, kind="OPERATIONAL_INFO"))
        self._changed(now)

    def note_of_task(self, index: int, event: StatusEvent) -> None:
        """Add an event that a task's runnable reports."""
        self.tasks[index].events.append(event)
        self._changed(event.time)

    def refuse(self, why: str, now: float) -> bool:
        """End a job that waits for its VMs as FAILED, with no task ever listed; return whether it did wait."""
        if self.state not in (JobState.QUEUED, JobState.SCHEDULED) or self.active:
            return False
        self._was_scheduled = False
        self._end(JobState.FAILED, now, f" {why}")
        return True

    def give_up(self, now: float) -> bool:
        """Start no task any more: those that wait become UNEXECUTED; return whether anything was left to do."""
        waiting = self._drop_waiting(now)
        self._has_given_up = True
        return waiting or self.active > 0

    def request_cancel(self, now: float) -> None:
        """Begin to cancel the job. Raises TransitionRefused when it has ended or is being ended already."""
        if self.has_ended or self.is_stopping:
            raise TransitionRefused(
                f"{self.full_name} is in state {self.state.name} and cannot be cancelled: only a job that is "
                "QUEUED, SCHEDULED or RUNNING can"
            )
        self._set_state(JobState.CANCELLATION_IN_PROGRESS, now)

    def request_delete(self, now: float) -> None:
        """Begin to delete the job, whatever state it is in; what runs is ended first."""
        if self.state is not JobState.DELETION_IN_PROGRESS:
            self._set_state(JobState.DELETION_IN_PROGRESS, now)

    def settle(self, now: float) -> bool:
        """End a job that is being cancelled or deleted once nothing of it runs; return whether it is at its end."""
        if not self.is_stopping or self.active:
            return False
        self._drop_waiting(now)
        self._end(JobState.CANCELLED if self.state is JobState.CANCELLATION_IN_PROGRESS else self.state, now)
        return True

    def _end(self, state: JobState, now: float, why: str = "") -> None:
        had_ended, self.ended = self.ended is not None, now
        if state is not self.state:
            self._set_state(state, now, why)
        if not had_ended:
            self._on_end(self)

    def _drop_waiting(self, now: float) -> bool:
        waiting = [*self._again, *range(self._next_index, len(self.tasks))]
        for index in waiting:
            self._move(self.tasks[index], TaskState.UNEXECUTED, now)
        self._again.clear()
        self._next_index = len(self.tasks)
        return bool(waiting)

    def _conclude(self, now: float) -> None:
        failed = next((task for task in self.tasks if task.state is TaskState.FAILED), None)
        if failed is None:
            self._end(JobState.SUCCEEDED, now)
            return
        self._end(
            JobState.FAILED,
            now,
            f" Job failed due to task failure. Specifically, task with index {failed.index} failed due to the "
            f'following task event: "{failed.events[-1].text}"',
        )

    def _set_state(self, state: JobState, now: float, why: str = "") -> None:
        text = f"Job state is set from {self.state.name} to {state.name} for job {self.full_name}.{why}"
        self.events.append(StatusEvent(now, text))
        self.state = state
        self._changed(now)

    def _move(self, task: Task, state: TaskState, now: float, exit_code: int | None = None) -> None:
        ending = "" if exit_code is None else f" with exit code {exit_code}"
        where = f" on {task.instance}" if task.instance else ""
        text = f"Task state is updated from {task.state.name} to {state.name}{where}{ending}."
        task.events.append(StatusEvent(now, text, state, exit_code))
        self.counts[task.state] -= 1
        if not self.counts[task.state]:
            del self.counts[task.state]
        self.counts[state] = self.counts.get(state, 0) + 1
        task.state = state
        self._changed(now)

    def _changed(self, now: float) -> None:
        self.updated = now
        self.revision += 1
