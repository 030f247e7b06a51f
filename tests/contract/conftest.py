"""The services of cloud/ on the emulator, and a proxy before its Batch server that fails requests as it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest

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
        self._server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = handler_call_details.method
        forward = self._channel.unary_unary(path)

        def answer(request: bytes, context: grpc.ServicerContext) -> Any:
            method = path.rsplit("/", 1)[1]
            self.calls[method] += 1
            fault = next((fault for fault in self.faults if fault.method == method and fault.times), None)
            try:
                if fault is None:
                    return forward(request, timeout=10)
                fault.times -= 1
                if fault.after:
                    forward(request, timeout=10)
            except grpc.RpcError as error:
                return context.abort(error.code(), error.details())
            return context.abort(fault.code, f"{method} fails as it was told")

        return grpc.unary_unary_rpc_method_handler(answer)

    def close(self) -> None:
        self._server.stop(0).wait()
        self._channel.close()


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
