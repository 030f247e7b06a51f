"""What a task of a sweep delivers while its program runs: its output, under names of its own, and nothing early."""

from __future__ import annotations

import io
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from ended_process import TASK_SECONDS, ended
from sweep_machine import Machine, MakeMachine, made_machine, shell

from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.protocol import exit_codes
from covalent_parallel_plugin.protocol.environment import ENV_LIVE
from covalent_parallel_plugin.protocol.live_part import FollowRequest, LivePart, read_live_part, seal_follow
from covalent_parallel_plugin.protocol.sweep_objects import LiveName, live_prefix, parse_live

# A tenth of a second in place of ten, and half a second at most
QUICK = {ENV_LIVE: "0.01"}


@pytest.fixture
def make_machine(emulator: Emulator, tmp_path: Path) -> MakeMachine:
    return partial(made_machine, emulator, tmp_path)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that programs wait for."""
    return tmp_path / "gate"


def until(condition: Callable[[], Any]) -> Any:
    """Return what a condition gives once that is true."""
    deadline = time.monotonic() + TASK_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError


def waiting(gate: object) -> str:
    """A shell's words that wait for a file."""
    return f"while ! test -e {gate}; do sleep 0.02; done"


def parts(machine: Machine) -> list[tuple[LiveName, LivePart]]:
    staged, found = machine.staged, []
    for blob in staged.bucket.client.list_blobs(staged.bucket, prefix=live_prefix(staged.identity.folder, 0)):
        name = parse_live(staged.identity.folder, blob.name)
        assert name is not None
        execution = staged.identity.task(name.round, name.task).execution(name.token)
        data = io.BytesIO(blob.download_as_bytes())
        found.append((name, read_live_part(data, execution, name.attempt, name.number)))
    return found


def printed(machine: Machine, task: int = 0) -> bytes:
    """The standard output that a task has delivered so far; its parts fit together."""
    own = [part for name, part in parts(machine) if name.task == task]
    assert all(after.stdout.start == before.stdout.end for before, after in itertools.pairwise(own))
    return b"".join(part.stdout.data for part in own)


@contextmanager
def running(machine: Machine, **variables: str) -> Iterator[Popen[bytes]]:
    process = machine.start("supervisor", **variables)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_a_program_prints_is_delivered_while_it_runs(make_machine: MakeMachine, gate: Path) -> None:
    machine = make_machine(shell(f"echo first; echo trouble >&2; {waiting(gate)}; echo second; {waiting(f'{gate}.2')}"))
    before = time.time()
    with running(machine, **QUICK) as process:
        until(lambda: printed(machine) == b"first\n")
        gate.touch()
        until(lambda: printed(machine) == b"first\nsecond\n")
        gate.with_suffix(".2").touch()
        assert ended(process).status == exit_codes.EXIT_DELIVERED
    found = parts(machine)
    outcome = machine.staged.outcome()
    assert (outcome.stdout, outcome.stderr, outcome.fields["live"]) == (b"first\nsecond\n", b"trouble\n", "delivered")
    assert b"".join(part.stderr.data for _, part in found) == b"trouble\n"
    assert {name[:4] for name, _ in found} == {(0, 0, 0, outcome.fields["token"])}
    assert {part.run for _, part in found} == {outcome.fields["key"]}
    assert [name.number for name, _ in found] == list(range(len(found)))
    times = [when for _, part in found for stream in part.streams for _, when in stream.times]
    assert times and all(before - 1 <= when <= time.time() for when in times)


@pytest.mark.parametrize("variables", [{}, {ENV_LIVE: "0"}])
def test_a_short_task_makes_the_requests_for_its_shard_and_its_outcome_alone(
    make_machine: MakeMachine, emulator: Emulator, variables: dict[str, str]
) -> None:
    machine = make_machine(shell("echo printed; sleep 0.5"))
    before = sum(emulator.request_counts.values())
    assert machine.run(**variables).status == exit_codes.EXIT_DELIVERED
    assert sum(emulator.request_counts.values()) - before == 2
    assert "live" not in machine.staged.outcome().fields and parts(machine) == []


def test_each_task_of_a_bundle_and_each_attempt_has_parts_of_its_own(make_machine: MakeMachine, gate: Path) -> None:
    script = f"echo task $X attempt $SWEEP_ATTEMPT; {waiting(f'{gate}.$X.$SWEEP_ATTEMPT')}; exit 9"
    machine = make_machine(shell(script), shell(script), bundle=2, retry_on=[9], last_attempt=1)

    def is_delivered(task: int, attempt: int) -> bool:
        return any((name.task, name.attempt) == (task, attempt) and part.stdout.data for name, part in parts(machine))

    for attempt in (0, 1):
        with running(machine, **QUICK, BATCH_TASK_RETRY_ATTEMPT=str(attempt)) as process:
            for task in (0, 1):
                until(partial(is_delivered, task, attempt))
                gate.with_suffix(f".{task}.{attempt}").touch()
            ended(process)
    found = {(name.task, name.attempt): part.stdout.data for name, part in parts(machine) if part.stdout.data}
    assert found == {(task, at): b"task %d attempt %d\n" % (task, at) for task in (0, 1) for at in (0, 1)}
    rows = [*machine.staged.attempts(), *map(machine.staged.outcome, (0, 1))]
    tokens = {(end.fields["index"], end.fields["attempt"]): end.fields["token"] for end in rows}
    assert tokens == {(name.task, name.attempt): name.token for name, _ in parts(machine)}
    assert [end.fields["live"] for end in rows] == ["delivered"] * 4


def test_a_task_that_is_killed_with_its_supervisor_leaves_what_it_printed(make_machine: MakeMachine) -> None:
    machine = make_machine(shell("echo last words; sleep 60"))
    with running(machine, **QUICK) as process:
        until(lambda: printed(machine))
        process.send_signal(signal.SIGKILL)
        process.wait(TASK_SECONDS)
    assert printed(machine) == b"last words\n" and not machine.staged.has_outcome(0)


def test_whoever_follows_a_task_has_its_lines_soon_and_a_forged_request_does_nothing(
    make_machine: MakeMachine, gate: Path
) -> None:
    lines = "; ".join(f"echo line {number}; {waiting(f'{gate}.{number}')}" for number in range(3))
    machine = make_machine(shell(lines), shell(f"echo here; {waiting(f'{gate}.2')}; echo there; sleep 60"))
    followed = machine.staged.identity.task(0, 0)
    request = seal_follow(followed, FollowRequest("n", 600, 0.01))
    forged = seal_follow(followed, FollowRequest("m", 600, 0.01))
    machine.staged.put(machine.staged.identity.task(0, 1).follow_name, forged)
    with running(machine, **{ENV_LIVE: "0.02"}), running(machine, **{ENV_LIVE: "0.02"}, BATCH_TASK_INDEX="1"):
        until(lambda: printed(machine) and printed(machine, 1))
        machine.staged.put(followed.follow_name, request)
        for number in range(3):
            until(lambda number=number: len(printed(machine)) >= 7 * (number + 1))
            gate.with_suffix(f".{number}").touch()


def test_of_more_than_is_kept_the_newest_is_delivered(make_machine: MakeMachine, gate: Path) -> None:
    many = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"
    machine = make_machine(shell(f"{many}; {waiting(gate)}; echo end"), log_limit=4096)
    with running(machine, **QUICK) as process:
        until(lambda: any(part.stdout.data.endswith(b"line 2999\n") for _, part in parts(machine)))
        gate.touch()
        assert ended(process).status == exit_codes.EXIT_DELIVERED
    whole = b"".join(b"line %d\n" % number for number in range(3000)) + b"end\n"
    for _, part in parts(machine):
        assert part.stdout.data == whole[part.stdout.start : part.stdout.end]
    assert machine.staged.outcome().stdout.endswith(whole[-2048:])


def test_the_outcome_does_not_wait_for_a_bucket_that_refuses_the_parts(
    make_machine: MakeMachine, emulator: Emulator
) -> None:
    machine = make_machine(shell("echo printed; sleep 1"))
    machine.staged.put(machine.staged.identity.task(0, 0).follow_name, b"x" * 3_000_000)
    assert machine.run(**QUICK).status == exit_codes.EXIT_DELIVERED
    assert machine.staged.outcome().stdout == b"printed\n" and printed(machine) == b"printed\n"
