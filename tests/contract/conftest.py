"""The services of cloud/ on the emulator, a proxy before its Batch server that fails requests as it is told, and a
Batch server that tells of one job what a test has written down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.cloud import batch_v1

from covalent_parallel_plugin.cloud.storage import ObjectStore

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator


@dataclass
class Fault:
    """Answers the next `times` requests of a method with an error; `after` Batch has done what was asked, if set."""

    method: str
    code: grpc.StatusCode
    times: int = 1
    after: bool = False


class BatchProxy(grpc.GenericRpcHandler):
    """Passes requests on to a Batch server as they are, but for the faults, which are used up in their order."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=(self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        # The field mask of each request that had one
        self.masks: list[str] = []
        # The jobs that were asked for and cancelled, in order: name, and the state that was answered or "cancel"
        self.told: list[tuple[str, str]] = []
        self._server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = handler_call_details.method
        masks = [value for key, value in handler_call_details.invocation_metadata if key == "x-goog-fieldmask"]
        self.masks += masks
        metadata = [("x-goog-fieldmask", mask) for mask in masks]
        forward = partial(self._channel.unary_unary(path), metadata=metadata)

        def answer(request: bytes, context: grpc.ServicerContext) -> Any:
            method = path.rsplit("/", 1)[1]
            self.calls[method] += 1
            fault = next((fault for fault in self.faults if fault.method == method and fault.times), None)
            try:
                if fault is None:
                    response = forward(request, timeout=60)
                    self._note(method, request, response)
                    return response
                fault.times -= 1
                if fault.after:
                    forward(request, timeout=60)
            except grpc.RpcError as error:
                return context.abort(error.code(), error.details())
            return context.abort(fault.code, f"{method} fails as it was told")

        return grpc.unary_unary_rpc_method_handler(answer)

    def _note(self, method: str, request: bytes, response: bytes) -> None:
        if method == "GetJob":
            job = batch_v1.Job.deserialize(response)
            self.told.append((job.name, job.status.state.name))
        elif method == "CancelJob":
            self.told.append((batch_v1.CancelJobRequest.deserialize(request).name, "cancel"))

    def close(self) -> None:
        self._server.stop(0).wait()
        self._channel.close()


@dataclass
class Told:
    """What Batch answers to one look at a job: its state and the texts of its events."""

    state: str
    events: Sequence[str] = ()


class BatchScript(grpc.GenericRpcHandler):
    """Answers each GetJob with the next line of `lines`, and from then on with the last.

    A line is a state, a job, an error, or the bytes of an answer.
    """

    def __init__(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=(self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.lines: list[str | Told | grpc.StatusCode | bytes] = []
        self.looks = 0
        self._server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            line = self.lines[min(self.looks, len(self.lines) - 1)]
            self.looks += 1
            if isinstance(line, grpc.StatusCode):
                context.abort(line, "as it was told")
            if isinstance(line, bytes):
                return line
            told = Told(line) if isinstance(line, str) else line
            status = batch_v1.JobStatus(
                state=told.state,
                status_events=[
                    {"description": text, "event_time": {"seconds": 1000 + at}} for at, text in enumerate(told.events)
                ],
            )
            name = batch_v1.GetJobRequest.deserialize(request).name
            return bytes(batch_v1.Job.serialize(batch_v1.Job(name=name, uid="uid-1", status=status)))

        return grpc.unary_unary_rpc_method_handler(answer)

    def close(self) -> None:
        self._server.stop(0).wait()


@pytest.fixture
def script() -> Iterator[BatchScript]:
    running = BatchScript()
    yield running
    running.close()


@pytest.fixture
def told() -> type[Told]:
    return Told


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[BatchProxy]:
    running = BatchProxy(emulator.environment["BATCH_EMULATOR_HOST"])
    yield running
    running.close()


@pytest.fixture
def fault() -> type[Fault]:
    return Fault


@pytest.fixture
def on_emulator(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator, with this process's environment pointing at it."""
    for name, address in emulator.environment.items():
        monkeypatch.setenv(name, address)
    return emulator


@pytest.fixture
def store(on_emulator: Emulator) -> ObjectStore:
    return ObjectStore.shared("local", "covalent")
