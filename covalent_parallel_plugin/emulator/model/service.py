"""Start and stop the services: a context manager for all of them, and a gRPC server on loopback."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import grpc

from .callers import Callers, user_of, why_not_from
from .errors import RpcError

STOP_SECONDS = 5.0
S = TypeVar("S", bound="LocalService")
Handler = Callable[[Any, grpc.ServicerContext], Any]
"""Answers a request with a message, or with its bytes. Raises RpcError."""
Methods = Mapping[str, tuple[Handler, Callable[[bytes], Any]]]
"""The methods of a gRPC service by name, each with what reads its request."""


class LocalService(ABC):
    """What can be started and stopped; as a context manager it runs inside the block."""

    @abstractmethod
    def start(self) -> None:
        """Begin to serve."""

    @abstractmethod
    def stop(self) -> None:
        """End; does nothing if not started."""

    def __enter__(self: S) -> S:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class GrpcServer(LocalService):
    """Serves gRPC methods on 127.0.0.1 in plaintext; `port` 0 takes a free one.

    Subclasses name themselves and say how many calls they answer at a time, and how long calls last after `stop`.
    """

    name: ClassVar[str]
    threads: ClassVar[int]
    grace_seconds: ClassVar[float]
    options: ClassVar[tuple[tuple[str, int], ...]] = ()

    def __init__(self, port: int, services: Mapping[str, Methods], callers: Callers | None = None) -> None:
        self._port = port
        self._services = services
        self._callers = Callers() if callers is None else callers
        self._server: grpc.Server | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._is_serving = False

    @property
    def address(self) -> str:
        """The value for the service's environment variable: host:port."""
        return f"127.0.0.1:{self._port}"

    def bind(self) -> None:
        """Take the port, without answering yet. Raises OSError: the port is taken."""
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix=f"emulator-{self.name}")
        # Without this option a second server could share the port, and each would get some of the calls.
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0), *self.options])
        for service, methods in self._services.items():
            handlers = {name: _handler(self._admitted(call), read) for name, (call, read) in methods.items()}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        try:
            _check_free(self._port)
            self._port = server.add_insecure_port(self.address)
        except (OSError, RuntimeError) as error:  # the latter is what grpc raises for every failure to bind
            pool.shutdown()
            raise OSError(f"the {self.name} server cannot listen on port {self._port}: {error}") from error
        self._server, self._pool = server, pool

    def start(self) -> None:
        """Begin to answer. Raises RuntimeError: already started; OSError: the port is taken."""
        if self._is_serving:
            raise RuntimeError(f"the {self.name} server is already running at {self.address}")
        if self._server is None:
            self.bind()
        assert self._server is not None
        self._server.start()
        self._is_serving = True

    def stop(self) -> None:
        """Refuse new calls, give running ones their grace, and release the port; does nothing if not started."""
        if self._server is not None and self._pool is not None:
            self._server.stop(self.grace_seconds).wait(self.grace_seconds + STOP_SECONDS)
            self._pool.shutdown()
        self._server = self._pool = None
        self._is_serving = False

    def _admitted(self, call: Handler) -> Handler:
        """Refuse calls of other users and of web pages."""

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            origin = next((value for key, value in context.invocation_metadata() if key == "origin"), "")
            host, _, port = context.peer().removeprefix("ipv4:").rpartition(":")
            reason = why_not_from(_authority(context), origin) or self._callers.why_not(
                user_of((host, int(port)), ("127.0.0.1", self._port))
            )
            if reason:
                raise RpcError("PERMISSION_DENIED", reason)
            return call(request, context)

        return answer


def _authority(context: Any) -> str:
    """Return what HTTP/2 calls :authority; gRPC has it, but does not publish it."""
    event = getattr(context, "_rpc_event", None)
    return bytes(getattr(getattr(event, "call_details", None), "host", None) or b"").decode(errors="replace")


def _handler(call: Handler, read: Callable[[bytes], Any]) -> grpc.RpcMethodHandler:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(request, context)
        except RpcError as error:
            if error.details:
                context.set_trailing_metadata((("grpc-status-details-bin", error.details),))
            context.abort(grpc.StatusCode[error.code], str(error))

    return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=read, response_serializer=_serialized)


def _serialized(response: Any) -> bytes:
    return response if isinstance(response, bytes) else bytes(response.SerializeToString())


def _check_free(port: int) -> None:
    """Raise OSError where a port is taken: gRPC would report it on standard error as well."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
