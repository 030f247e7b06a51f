"""`python -m benchmarks.chaos`: many electrons at once while calls, attempts and requests fail, and what they leave.

Unlike the other rows it needs no other plugin, so it has a command of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
import uuid
import venv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, ProcessRuntime

from .tables import Bound, Line, Table

WITH_FAULTS = "with faults"
WITHOUT = "without"
PROJECT = "benchmark"
RETRIES = 3
# An electron that takes longer than this hangs
CALL_SECONDS = 900.0
FINISHED = ("SUCCEEDED", "FAILED", "CANCELLED")

FAULTS = (
    Fault("rpc.error", name="Batch calls refused", code="UNAVAILABLE", rate=0.1),
    # The last attempt is spared: one in eighty would lose all four, which is an ending of another kind
    Fault("attempt.preempt", name="attempts preempted", attempt=f"0-{RETRIES - 1}", rate=0.33, after_seconds=0.05),
    Fault("storage.error", name="storage requests refused", code=503, rate=0.05),
)


@dataclass(frozen=True)
class Outcome:
    """What came of a run: electrons by how they ended, and what was left of them."""

    right: int
    errors: Sequence[str]
    unfinished_jobs: int
    objects: Sequence[str]
    temporary_files: Sequence[str]
    wall_seconds: float
    batch_calls: int
    storage_requests: int
    attempts: int
    faults: Mapping[str, int]


def run(electrons: int, faults: Sequence[Fault], seed: int = 0) -> Outcome:
    """Have `run()` square so many numbers at once, on services of its own, and look at what is left.

    Covalent is imported here: with whose configuration is up to the caller.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        # As a stock image, which has to fetch the runner; a bucket of its own, for a process knows those that have it
        venv.create(f"{folder}/stock", symlinks=True)
        runtime, bucket = ProcessRuntime(Path(folder, "stock", "bin", "python")), f"chaos-{secrets.token_hex(4)}"
        with Emulator(buckets=(bucket,), runtime=runtime) as emulator, _environment(emulator.environment):
            emulator.faults.set(Faults(tuple(faults), seed))
            began = time.monotonic()
            try:
                ended = asyncio.run(_all(electrons, bucket, f"{folder}/cache"))
            finally:
                consumed = emulator.faults.consumed
                emulator.faults.set(Faults())
            wall_seconds = time.monotonic() - began
            attempts, calls, requests = emulator.counts["attempts"], emulator.rpc_counts, emulator.request_counts
            unfinished, objects = asyncio.run(_left(bucket))
        return Outcome(
            right=sum(value == number**2 for number, value in enumerate(ended) if not isinstance(value, Exception)),
            errors=[f"{type(error).__name__}: {error}" for error in ended if isinstance(error, Exception)],
            unfinished_jobs=unfinished,
            objects=objects,
            temporary_files=[str(path) for path in Path(folder, "cache").rglob("*")],
            wall_seconds=wall_seconds,
            batch_calls=sum(calls.values()),
            storage_requests=sum(requests.values()),
            attempts=attempts,
            faults=consumed,
        )


async def _all(electrons: int, bucket: str, cache: str) -> list[Any]:
    from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

    async def one(number: int) -> Any:
        executor = GCPBatchExecutor(
            project_id=PROJECT, bucket_name=bucket, poll_freq=1, retries=RETRIES, own_modules=False, cache_dir=cache
        )
        task = {"dispatch_id": str(uuid.uuid4()), "node_id": number}
        try:
            value = await asyncio.wait_for(executor.run(lambda: number**2, [], {}, task), CALL_SECONDS)
        except Exception as error:
            # Whatever it is, it is what this is here to count
            return error
        return value.get_deserialized()

    return await asyncio.gather(*map(one, range(electrons)))


async def _left(bucket: str) -> tuple[int, list[str]]:
    """How many jobs have not ended, and the objects that are left but for the runner's archive."""
    from covalent_parallel_plugin.cloud import shared_services

    services = shared_services(PROJECT, bucket)
    jobs = await services.batch.list(f"projects/{PROJECT}/locations/us-east1")
    names = await asyncio.to_thread(services.objects.names, "")
    await services.batch.close()
    unfinished = sum(job.state not in FINISHED for job in jobs)
    return unfinished, [name for name in names if not name.startswith("covalent-parallel-runner/")]


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def chaos_table(electrons: int, outcomes: Mapping[str, Sequence[Outcome]]) -> Table:
    """The outcomes of the rounds, with and without faults."""

    def line(measure: str, value: Any, bound: Bound | None = None) -> Line:
        return Line(measure, {name: [value(outcome) for outcome in rounds] for name, rounds in outcomes.items()}, bound)

    none = Bound(0)
    struck = [fault.name for fault in FAULTS]
    return Table(
        f"{electrons} electrons at once, with {', '.join(f'{fault.rate:.0%} of {fault.name}' for fault in FAULTS)}",
        list(outcomes),
        (WITH_FAULTS, WITHOUT),
        [
            line("electrons without the right value", lambda found: electrons - found.right, none),
            line("jobs not ended", lambda found: found.unfinished_jobs, none),
            line("objects left, but for the runner's archive", lambda found: len(found.objects), none),
            line("temporary files left", lambda found: len(found.temporary_files), none),
            line("wall time, s", lambda found: found.wall_seconds),
            line("attempts", lambda found: found.attempts),
            line("Batch calls", lambda found: found.batch_calls),
            line("storage requests", lambda found: found.storage_requests),
            *(line(f"- {name}", lambda found, name=name: found.faults.get(name, 0)) for name in struck),
        ],
    )


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line (default: this process's). Exits with status 2 where it is wrong."""
    parser = argparse.ArgumentParser("python -m benchmarks.chaos", description="Electrons while everything fails.")
    parser.add_argument("--electrons", type=int, default=300, metavar="N", help="electrons at once [300]")
    parser.add_argument("--rounds", type=int, default=1, metavar="R", help="rounds, of which medians are shown [1]")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the faults' random numbers [0]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every value there")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Run, print the table and, on standard error, what went wrong; status 1 if anything did."""
    arguments = parse(words)
    outcomes: dict[str, list[Outcome]] = {WITH_FAULTS: [], WITHOUT: []}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        # Before Covalent's import, which reads its configuration
        os.environ.update(HOME=home, COVALENT_CONFIG_DIR=f"{home}/covalent")
        import_module("covalent")
        for number in range(arguments.rounds):
            outcomes[WITH_FAULTS].append(run(arguments.electrons, FAULTS, arguments.seed + number))
            outcomes[WITHOUT].append(run(arguments.electrons, ()))
    table = chaos_table(arguments.electrons, outcomes)
    print(table.markdown())
    wrong = Counter(text for rounds in outcomes.values() for outcome in rounds for text in _wrong(outcome))
    for text, count in wrong.most_common(20):
        print(f"{count} x {text}", file=sys.stderr)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table.record(), indent=1) + "\n")
    sys.exit(1 if wrong else 0)


def _wrong(outcome: Outcome) -> list[str]:
    left = [f"left: {name}" for name in (*outcome.objects, *outcome.temporary_files)]
    return [*outcome.errors, *left, *["a job has not ended"] * outcome.unfinished_jobs]


if __name__ == "__main__":
    main()
