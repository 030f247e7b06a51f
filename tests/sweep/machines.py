"""Machines without containers for sweeps on the emulator: they read shards and deliver outcomes as Batch's do.

A program is a function of the task and its attempt. All that travels is the package's own protocol.
"""

from __future__ import annotations

import io
import json
import os
import queue
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import (
    batch_v1,  # type: ignore[attr-defined]  # the package has no types
)
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

from covalent_parallel_plugin.emulator.model.runtime_interface import BARE_VM, Command, ResourceLimits, VmSpec
from covalent_parallel_plugin.protocol import environment as names
from covalent_parallel_plugin.protocol.envelope import envelope_chunks, read_header, read_part, seal_envelope
from covalent_parallel_plugin.protocol.exit_codes import EXIT_RETRY_EXCEPTION, EXIT_TERMINATED
from covalent_parallel_plugin.protocol.live_part import LivePart, LiveStream, seal_live_part
from covalent_parallel_plugin.protocol.sweep_identity import ATTEMPT, OUTCOME, SweepIdentity
from covalent_parallel_plugin.protocol.sweep_machine import PREPARE_MODULE
from covalent_parallel_plugin.protocol.sweep_objects import drain_name, setup_name, shard_name
from covalent_parallel_plugin.protocol.sweep_row import row_metadata
from covalent_parallel_plugin.runner.machine_data import machine_of

KILLED = 137
PARENT = "projects/local/locations/us-east1"


@dataclass
class Answer:
    """What a program came to; `container_exit`: the container ends so, and nothing is delivered.

    Of its stdout `live` is delivered while it runs, in parts; then it waits for its `gate`. Where it `is_mute` it ends
    without a report once it is told to.
    """

    exit: int = 0
    stdout: str = ""
    result: Mapping[str, Any] | None = None
    seconds: float = 0.0
    container_exit: int | None = None
    live: Sequence[str] = ()
    gate: threading.Event | None = None
    is_mute: bool = False


Program = Callable[[Mapping[str, Any], int], Answer]


@dataclass
class FakeMachines:
    """A runtime of the emulator; `started` and `delivered` count by task's name."""

    program: Program
    started: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    # Tasks that were begun after they had been delivered
    repeated: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)
    threads: list[threading.Thread] = field(default_factory=list)
    emulator: Any = None
    storage: Any = None

    @property
    def rpcs(self) -> Counter[str]:
        """Requests to Batch by method."""
        return Counter(self.emulator.rpc_counts)

    def job_states(self) -> list[str]:
        return [job.status.state.name for job in _jobs().list_jobs(parent=PARENT)]

    def delete_jobs(self) -> None:
        """Delete all jobs, as Batch does after 60 days."""
        client = _jobs()
        for job in client.list_jobs(parent=PARENT):
            client.delete_job(name=job.name)
        until = time.monotonic() + 120
        while self.job_states():
            assert time.monotonic() < until, "jobs are not deleted"
            time.sleep(0.05)

    def close_client(self) -> None:
        """Close what the machines have used; call once the emulator has ended them."""
        for thread in self.threads:
            thread.join(60)
        self.storage.close()

    def wait_for_jobs(self) -> None:
        """Wait until all jobs have ended."""
        until = time.monotonic() + 120
        while not set(self.job_states()) <= {"SUCCEEDED", "FAILED", "CANCELLED"}:
            assert time.monotonic() < until, "jobs do not end"
            time.sleep(0.05)

    def submit_other(self, labels: Mapping[str, str]) -> None:
        """Make a job as another version might."""
        container = batch_v1.Runnable.Container(image_uri="any", entrypoint="true")
        spec = batch_v1.TaskSpec(runnables=[batch_v1.Runnable(container=container)])
        group = batch_v1.TaskGroup(task_count=1, task_spec=spec)
        job = batch_v1.Job(task_groups=[group], labels=dict(labels))
        _jobs().create_job(parent=PARENT, job=job, job_id="other")

    def change_outcome(self, sweep: str, index: int) -> None:
        """Change the last byte of the outcome's body, and leave its row."""
        [blob] = [
            blob
            for blob in self.storage.list_blobs("covalent", prefix=f"covalent-sweeps/{sweep}/")
            if blob.name.endswith(f"outcomes/{index:07d}")
        ]
        data, metadata = bytearray(blob.download_as_bytes()), blob.metadata
        data[-1] ^= 1
        changed = blob.bucket.blob(blob.name)
        changed.metadata = metadata
        changed.upload_from_string(bytes(data))

    def open(self, attempt: str, limits: ResourceLimits, vm: VmSpec = BARE_VM) -> _Workspace:
        return _Workspace(self)

    def release(self, job_uid: str) -> None: ...

    def task_users(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None: ...


@dataclass
class _Workspace:
    machines: FakeMachines

    def start(self, command: Command) -> _Process:
        process = _Process()
        is_other = names.ENV_KEY not in command.environment
        is_prepare = PREPARE_MODULE in command.arguments
        target = (lambda: 0) if is_prepare or is_other else _Supervisor(self.machines, command.environment, process).run
        thread = threading.Thread(target=process.run, args=(target,), daemon=True)
        self.machines.threads.append(thread)
        thread.start()
        return process

    def close(self) -> None: ...


class _Process:
    """A thread that passes for a process."""

    def __init__(self) -> None:
        self.stdout, out = os.pipe()
        self.stderr, self._err = os.pipe()
        self.ending, self._ended = os.pipe()
        for descriptor in (self.stdout, self.stderr, self.ending):
            os.set_blocking(descriptor, False)
        os.close(out)
        self.stopped: queue.Queue[int] = queue.Queue()
        self.is_stopped = threading.Event()
        self._code: int | None = None

    def run(self, target: Callable[[], int]) -> None:
        code = 1
        try:
            code = target()
        except Exception as error:
            os.write(self._err, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os.close(self._err)
            self._code = code if self._code is None else self._code
            os.close(self._ended)

    def poll(self) -> int | None:
        return self._code

    def terminate(self) -> None:
        self.is_stopped.set()

    def kill(self) -> None:
        self._code = KILLED if self._code is None else self._code
        self.is_stopped.set()

    def close(self) -> None:
        for descriptor in (self.stdout, self.stderr, self.ending):
            os.close(descriptor)


class _Supervisor:
    """What runs in a task's container."""

    def __init__(self, machines: FakeMachines, variables: Mapping[str, str], process: _Process) -> None:
        self._machines = machines
        self._process = process
        self._identity = SweepIdentity(
            variables[names.ENV_CALL_ID], bytes.fromhex(variables[names.ENV_KEY]), variables[names.ENV_FOLDER]
        )
        self._round = int(variables[names.ENV_ROUND])
        self._number = int(variables["BATCH_TASK_INDEX"])
        self._attempt = int(variables["BATCH_TASK_RETRY_ATTEMPT"])
        self._bucket = machines.storage.bucket(variables[names.ENV_BUCKET])
        self._metadata = variables.get("GCE_METADATA_HOST", "")

    def run(self) -> int:
        identity, round = self._identity, self._round
        found = io.BytesIO(self._bucket.blob(setup_name(identity.folder, round)).download_as_bytes())
        setup: Any = read_header(found, identity.key, identity.setup_binding(round)).header["document"]
        bundle = setup["bundle"]
        first = self._number * bundle
        for position in range(first, min(first + bundle, setup["total"])):
            if code := self._run_task(setup, position):
                return code
        return 0

    def _run_task(self, setup: Mapping[str, Any], position: int) -> int:
        identity = self._identity
        shard, place = divmod(position, setup["shard_size"])
        try:
            found = io.BytesIO(self._bucket.blob(shard_name(identity.folder, self._round, shard)).download_as_bytes())
        except NotFound:
            assert self._bucket.blob(drain_name(identity.folder, self._round)).exists()
            return 0
        envelope = read_header(found, identity.key, identity.shard_binding(self._round, shard))
        task = json.loads(read_part(found, envelope, "tasks"))[place]
        # As the supervisor does: an earlier attempt may have delivered before its machine was taken away
        if self._attempt and self._bucket.blob(identity.task(self._round, task["index"]).outcome_name).exists():
            return 0
        with self._machines.lock:
            if self._machines.delivered[task["key"]]:
                self._machines.repeated.append(task["name"])
            self._machines.started[task["name"]] += 1
        began = time.time()
        answer = self._machines.program(task, self._attempt)
        token = secrets.token_hex(8)
        self._print(task, answer, token)
        self._process.is_stopped.wait(answer.seconds)
        while answer.gate is not None and not answer.gate.wait(0.02) and not self._process.is_stopped.is_set():
            continue
        if self._process.is_stopped.is_set():
            if not answer.is_mute:
                self._deliver(task, answer, began, token, is_cut_off=True)
            return EXIT_TERMINATED
        if answer.container_exit is not None:
            return answer.container_exit
        if answer.exit in setup["retry_on"] and self._attempt < setup["last_attempt"]:
            return EXIT_RETRY_EXCEPTION
        self._deliver(task, answer, began, token)
        return 0

    def _print(self, task: Mapping[str, Any], answer: Answer, token: str) -> None:
        execution = self._identity.task(self._round, task["index"]).execution(token)
        offset = 0
        for number, text in enumerate(answer.live):
            output = LiveStream(offset, text.encode(), ((offset, 1000.5 + number),))
            part = seal_live_part(execution, LivePart(self._attempt, number, output, run=task["key"]))
            self._bucket.blob(execution.live_name(self._attempt, number)).upload_from_string(part)
            offset = output.end

    def _deliver(
        self, task: Mapping[str, Any], answer: Answer, began: float, token: str, is_cut_off: bool = False
    ) -> None:
        address = self._identity.task(self._round, task["index"])
        fields: dict[str, object] = {
            "index": task["index"],
            "key": task["key"],
            "name": task["name"],
            "round": self._round,
            "attempt": self._attempt,
            "token": token,
            "status": "lost" if is_cut_off else "failed" if answer.exit else "done",
            "exit": answer.exit,
            "signal": None,
            "seconds": answer.seconds,
            "machine": "vm",
            "started": began,
            "ended": time.time(),
            "reason": f"exit status {answer.exit}" if answer.exit else "",
            "stdout_bytes": len(answer.stdout),
            "stderr_bytes": 0,
            "files": 0,
            "file_bytes": 0,
            **({"live": "delivered"} if answer.live else {}),
            "measured": self._measured(began),
        }
        metadata = row_metadata(address, fields, answer.result, {"stdout": answer.stdout, "stderr": ""})
        parts = {"stdout": answer.stdout.encode(), "stderr": b""}
        header = {"kind": OUTCOME, "row": fields, "result": answer.result, "left": [], "files": []}
        if is_cut_off:
            header |= {"kind": ATTEMPT, "result": None}
            binding = address.attempt_binding(self._attempt, token)
            data = b"".join(envelope_chunks(seal_envelope(header, parts, self._identity.key, binding), parts))
            self._bucket.blob(address.attempt_name(self._attempt, token)).upload_from_string(data)
            return
        prefix = seal_envelope(header, parts, self._identity.key, address.outcome_binding)
        blob = self._bucket.blob(address.outcome_name)
        blob.metadata = metadata
        try:
            blob.upload_from_string(b"".join(envelope_chunks(prefix, parts)), if_generation_match=0)
        except PreconditionFailed:
            return
        with self._machines.lock:
            self._machines.delivered[task["key"]] += 1

    def _measured(self, began: float) -> Mapping[str, Any]:
        times = {"began": began, "ran_from": began, "ran_to": time.time(), "delivered": time.time()}
        return {"times": times, "machine": machine_of(self._metadata) if self._metadata else {}}


def _jobs() -> batch_v1.BatchServiceClient:
    channel = grpc.insecure_channel(os.environ[names.BATCH_EMULATOR_HOST])
    return batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
