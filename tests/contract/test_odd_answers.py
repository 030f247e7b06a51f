"""Whatever a service or a proxy answers, cloud/ raises this package's errors and no others."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import batch_v1, storage  # type: ignore[attr-defined]  # the package has no types
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from odd_storage import Answer, OddStorage, page, status

from covalent_parallel_plugin.cloud.batch import MOST_PAGES, BatchApi, InstanceStatus, JobStatus, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.logging import connect as connect_logging
from covalent_parallel_plugin.cloud.session import LeanSession
from covalent_parallel_plugin.cloud.storage import QUIET_VARIABLE, ObjectStore
from covalent_parallel_plugin.errors import CloudError

PARENT = "projects/local/locations/us-east1"
JOB = f"{PARENT}/jobs/j"
SECONDS = 60
# Neither is worth a wait here: what may pass is raised as it is.
PATIENCE_SECONDS = 0.0


class OddRpcServer(grpc.GenericRpcHandler):
    """Answers every call with the same status or bytes; the pages of a list are `pages`, given their number."""

    def __init__(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=(self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.answer: grpc.StatusCode | bytes | Callable[[int], bytes] = b""
        self.calls = 0
        self._server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def respond(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls += 1
            if isinstance(self.answer, grpc.StatusCode):
                context.abort(self.answer, "as a proxy says")
            return self.answer if isinstance(self.answer, bytes) else self.answer(self.calls)  # type: ignore[operator]

        return grpc.unary_unary_rpc_method_handler(respond)

    def close(self) -> None:
        self._server.stop(0).wait()


@pytest.fixture(scope="module")
def running() -> Iterator[OddRpcServer]:
    server = OddRpcServer()
    yield server
    server.close()


@pytest.fixture
def rpc(running: OddRpcServer) -> OddRpcServer:
    running.calls = 0
    return running


BATCH: Mapping[str, Callable[[BatchApi], Awaitable[object]]] = {
    "create": lambda batch: batch.create(PARENT, batch_v1.Job(), "j", "5d2f1c0e-8a43-5b7d-9e61-2c4b7a90d3f8"),
    "get": lambda batch: batch.get(JOB),
    "task": lambda batch: batch.task(JOB),
    "list": lambda batch: batch.list(PARENT),
    "cancel": lambda batch: batch.cancel(JOB),
    "delete": lambda batch: batch.delete(JOB),
}


def ask(address: str, request: Callable[[BatchApi], Awaitable[object]]) -> object:
    async def run() -> object:
        batch = BatchApi(connect(address), PATIENCE_SECONDS, address)
        try:
            return await request(batch)
        finally:
            await batch.close()

    return asyncio.run(asyncio.wait_for(run(), SECONDS))


@pytest.mark.parametrize("method", BATCH)
@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=str)
def test_every_status_of_batch_is_an_answer_or_this_packages_error(
    rpc: OddRpcServer, code: grpc.StatusCode, method: str
) -> None:
    rpc.answer = code
    try:
        assert ask(rpc.address, BATCH[method]) in (None, False)
    except CloudError as error:
        assert "as a proxy says" in str(error) or "exists already" in str(error)


@pytest.mark.parametrize("method", ["create", "get", "task", "list"])
def test_bytes_that_do_not_parse_are_this_packages_error(rpc: OddRpcServer, method: str) -> None:
    rpc.answer = b"\xff<html>"
    with pytest.raises(CloudError):
        ask(rpc.address, BATCH[method])


@pytest.mark.parametrize(("model", "is_spot"), [("STANDARD", False), ("SPOT", True), ("PREEMPTIBLE", True)])
def test_a_job_has_the_machines_that_batch_tells_of(rpc: OddRpcServer, model: str, is_spot: bool) -> None:
    job = batch_v1.Job(name=JOB)
    group = batch_v1.JobStatus.TaskGroupStatus()
    group.instances = [
        batch_v1.JobStatus.InstanceStatus(
            machine_type="n2-standard-8",
            provisioning_model=batch_v1.AllocationPolicy.ProvisioningModel[model],
            task_pack=4,
        )
    ]
    job.status.task_groups = {"group0": group}
    rpc.answer = batch_v1.Job.serialize(job)
    found = ask(rpc.address, BATCH["get"])
    assert isinstance(found, JobStatus)
    assert found.instances == (InstanceStatus("n2-standard-8", is_spot, 4),)


def test_an_answer_to_a_deletion_is_not_read(rpc: OddRpcServer) -> None:
    rpc.answer = b"\xff<html>"
    for method in ("cancel", "delete"):
        try:
            ask(rpc.address, BATCH[method])
        except CloudError as error:
            assert JOB in str(error)


@pytest.mark.parametrize(
    "answer", [*(code for code in grpc.StatusCode if code is not grpc.StatusCode.OK), b"\xff<html>"], ids=str
)
def test_every_status_of_logging_is_this_packages_error(rpc: OddRpcServer, answer: grpc.StatusCode | bytes) -> None:
    rpc.answer = answer
    client: LoggingServiceV2Client = connect_logging(rpc.address)
    with pytest.raises(CloudError, match="read the logs of the job uid"):
        LogReader("local", client).last_lines("uid")


def test_a_job_list_that_repeats_itself_is_abandoned(rpc: OddRpcServer) -> None:
    rpc.answer = batch_v1.ListJobsResponse.serialize(batch_v1.ListJobsResponse(next_page_token="again"))
    with pytest.raises(CloudError, match="the list repeats itself"):
        ask(rpc.address, BATCH["list"])
    assert rpc.calls == 2


def test_a_job_list_without_end_is_abandoned(rpc: OddRpcServer) -> None:
    rpc.answer = lambda number: bytes(
        batch_v1.ListJobsResponse.serialize(batch_v1.ListJobsResponse(next_page_token=str(number)))
    )
    with pytest.raises(CloudError, match="the list has no end"):
        ask(rpc.address, BATCH["list"])
    assert rpc.calls == MOST_PAGES


STORAGE: Mapping[str, Callable[[ObjectStore], object]] = {
    "put": lambda store: store.put("x", b"x"),
    "put in requests": lambda store: store.put("x", [bytes(9_000_000)]),
    "get": lambda store: store.get("x", io.BytesIO()),
    "delete": lambda store: store.delete("x"),
    "list": lambda store: store.list("x"),
}
CODES = [*range(300, 309), *range(400, 419), *range(421, 432), 451, 499, *range(500, 512), 520, 599, 999]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], ObjectStore]]:
    running: list[OddStorage] = []

    def start(answer: Answer) -> ObjectStore:
        running.append(OddStorage(answer))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running[0].url)
        monkeypatch.setenv(QUIET_VARIABLE, "1")
        session = LeanSession(AnonymousCredentials(), 1)
        client = storage.Client(project="local", credentials=AnonymousCredentials(), _http=session)
        return ObjectStore(client, "covalent", PATIENCE_SECONDS)

    yield start
    for server in running:
        server.close()


@pytest.mark.parametrize("method", STORAGE)
def test_every_status_of_storage_is_an_answer_or_this_packages_error(
    serve: Callable[[Answer], ObjectStore], method: str
) -> None:
    code = 0
    store = serve(
        lambda connection, start: status(code, b'{"error": {"message": "as a proxy says"}}')(connection, start)
    )
    for code in CODES:
        try:
            assert STORAGE[method](store) is False, code
        except CloudError as error:
            assert "gs://covalent/x" in str(error), code


@pytest.mark.parametrize("method", STORAGE)
@pytest.mark.parametrize("body", [b"<html>please log in</html>", b"[1]", b"{}", b"\xff", b""], ids=repr)
def test_a_page_of_somebody_else_is_no_answer(serve: Callable[[Answer], ObjectStore], method: str, body: bytes) -> None:
    try:
        STORAGE[method](serve(page(body)))
    except CloudError as error:
        assert "gs://covalent/x" in str(error)


@pytest.mark.parametrize("method", ["put", "get", "delete", "list"])
def test_a_redirect_to_itself_ends(serve: Callable[[Answer], ObjectStore], method: str) -> None:
    text = b"HTTP/1.1 302 Found\r\nLocation: /storage/v1/b/covalent/o/x\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(CloudError, match="gs://covalent/x"):
        STORAGE[method](serve(lambda connection, _: connection.sendall(text)))
