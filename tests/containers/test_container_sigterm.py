"""SIGTERM and electrons in containers: a machine that is preempted, a call that is cancelled."""

from __future__ import annotations

import asyncio
import runpy
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall
from covalent_parallel_plugin.covalent_api.run import run_electron
from covalent_parallel_plugin.covalent_api.transportable import CovalentCall
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

pytestmark = pytest.mark.containers

EXAMPLE = Path(__file__).parents[2] / "examples" / "checkpoint" / "train.py"
SECONDS = 120


def test_a_preempted_electron_continues_after_the_checkpoint_in_its_bucket(
    emulator: Emulator, make_executor: Callable[..., GCPBatchExecutor]
) -> None:
    train = runpy.run_path(str(EXAMPLE))["train"]
    executor = make_executor(spot=True, retries=3, volumes={"state": f"gs://data/{uuid.uuid4()}:rw"})
    task = {"dispatch_id": str(uuid.uuid4()), "node_id": 0, "results_dir": "/nowhere"}
    emulator.faults.set(Faults((Fault("attempt.preempt", attempt=0, after_output="begins after epoch"),)))
    try:
        value = asyncio.run(executor.run(train, ["/mnt/disks/state", 40], {}, task)).get_deserialized()
    finally:
        emulator.faults.set(Faults())
    assert (value["epoch"], value["machines"]) == (40, 2)


def test_what_a_cancelled_electron_prints_at_its_end_comes_back(
    services: Emulator, make_executor: Callable[..., GCPBatchExecutor]
) -> None:
    def electron() -> None:
        import os
        import signal
        import sys

        def save(number: int, frame: object) -> None:
            os.write(1, b"saved\n")
            sys.exit(3)

        signal.signal(signal.SIGTERM, save)
        print("begun", flush=True)
        time.sleep(600)

    async def run() -> Any:
        cancelled = Cancellation()
        call = CovalentCall.parse(electron, [], {})
        node = (str(uuid.uuid4()), 0)
        running = asyncio.ensure_future(
            run_electron(call, node, make_executor().__dict__, cancelled, is_in_server=False)
        )
        for _ in range(10 * SECONDS):
            if any(record.text == "begun" for record in services.logs.records()):
                break
            await asyncio.sleep(0.1)
        cancelled.set()
        return await running

    with pytest.raises(CancelledCall) as caught:
        asyncio.run(run())
    assert caught.value.stdout == "begun\nsaved\n"
    assert "it answered SIGTERM with exit status 3" in caught.value.stderr
