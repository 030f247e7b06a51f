"""Where a call's key is, and where it is not; what names and ids can do."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import logging
import platform
import re
import sys
import traceback
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from google.cloud import batch_v1

from covalent_parallel_plugin.batch.cancellation import Cancellation
from covalent_parallel_plugin.batch.job_names import job_id_for
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.electron.call import Call, new_identity
from covalent_parallel_plugin.electron.collect import Collector
from covalent_parallel_plugin.electron.electron_run import ElectronRun
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.electron.traceback_source import SourceText
from covalent_parallel_plugin.electron.verdict import Failure
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.protocol.envelope import (
    OUTCOME,
    WireError,
    read_header,
    read_part,
    seal_envelope,
    view_part,
)
from covalent_parallel_plugin.protocol.environment import ENV_KEY
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding
from covalent_parallel_plugin.protocol.object_names import (
    PREFIX,
    call_name,
    outcome_name,
    parse_name,
    partial_name,
    stream_name,
)
from covalent_parallel_plugin.runner.task_main import TaskEnvironment
from covalent_parallel_plugin.settings import Settings

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

cloudpickle.register_pickle_by_value(sys.modules[__name__])

KEY = bytes(range(1, 33))
FORMS = (KEY.hex(), repr(KEY)[2:-1], str(list(KEY))[1:-1])


def returns() -> int:
    print("halfway")
    return 7


def raises() -> None:
    print("halfway")
    raise ValueError("no")


def kills_its_supervisor() -> None:
    import os
    import signal

    print("halfway", flush=True)
    os.kill(os.getppid(), signal.SIGKILL)


ENDINGS: list[tuple[Any, tuple[Fault, ...]]] = [
    (returns, ()),
    (raises, ()),
    (kills_its_supervisor, ()),
    (returns, (Fault("job.refused"),)),
    (returns, (Fault("rpc.service_account", method="CreateJob"),)),
    (returns, (Fault("rpc.error", method="CreateJob", code="INVALID_ARGUMENT"),)),
    (returns, (Fault("storage.error", object="*/outcome*", code=403),)),
]


@pytest.mark.parametrize(
    ("function", "faults"), ENDINGS, ids=lambda part: getattr(part, "__name__", None) or str([f.kind for f in part])
)
def test_the_key_is_in_the_jobs_environment_and_nowhere_else(
    function: Any,
    faults: tuple[Fault, ...],
    on_emulator: Emulator,
    store: ObjectStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    call = Call(str(uuid.uuid4()), 0, "electron", platform.python_version(), "0.240.0")
    settings = Settings(
        bucket_name="covalent",
        project_id="local",
        poll_freq=0.1,
        retries=1,
        retry_exceptions=True,
        keep_objects=True,
        cache_dir=str(tmp_path),
        labels={"team": "blue"},
    )
    written: list[str] = []

    async def source() -> SourceText:
        return SourceText()

    async def run() -> batch_v1.Job | None:
        client = connect(on_emulator.environment["BATCH_EMULATOR_HOST"])
        batch = BatchApi(client, patience_seconds=5)
        batch.outage_seconds = batch.refusal_seconds = 5
        services = Services(batch, store, LogReader.shared("local"))
        way = ElectronRun(
            call, new_identity(call, (), ServerSecret.random()), settings, services, Cancellation(), source
        )
        try:
            ended = await way.run({"function": cloudpickle.dumps(function)})
            written.append(repr(ended))
            if isinstance(ended, Failure):
                written.append("".join(traceback.format_exception(ended.error)))
        except Exception as error:
            written.append("".join(traceback.format_exception(error)))
        written.append(repr([way, way._jobs, way._jobs.owner, way._jobs._submission]))
        name = job_id_for(call.dispatch_id, 0)
        found = [job async for job in await client.list_jobs(parent=settings.parent) if job.name.endswith(f"/{name}")]
        await batch.close()
        return found[0] if found else None

    on_emulator.faults.set(Faults(faults))
    try:
        job = asyncio.run(run())
    finally:
        on_emulator.faults.set(Faults())
    written.append(caplog.text)
    written += [repr(vars(record)) for record in caplog.records]
    written += list(capfd.readouterr())
    written += [repr(record) for record in on_emulator.logs.records()]
    for name in store.names(f"{PREFIX}/{call.dispatch_id}/"):
        with io.BytesIO() as stream:
            store.get(name, stream)
            written += [name, stream.getvalue().decode("latin-1")]
        store.delete(name)
    if job is None:
        assert "could not be submitted" in "".join(written)
        return
    key = job.task_groups[0].task_spec.environment.variables.pop(ENV_KEY)
    assert re.fullmatch("[0-9a-f]{64}", key)
    raw = bytes.fromhex(key)
    written.append(str(job))
    for form in (key, key.upper(), raw.decode("latin-1"), repr(raw)[2:-1]):
        assert form not in "\n".join(written)


def test_two_calls_of_one_node_have_different_keys_ids_and_folders() -> None:
    call, secret = Call("d", 0, "f", "3.11.7", "0.240.0"), ServerSecret.random()
    made = [new_identity(call, (), secret, nonce=str(number)) for number in range(50)]
    for part in ("key", "call_id", "folder"):
        assert len({getattr(identity, part) for identity in made}) == 50
    assert {len(identity.key) for identity in made} == {32}


def test_the_key_is_in_no_repr() -> None:
    identity = CallIdentity("0123456789abcdef", KEY, "folder")
    services: Any = None
    settings = Settings(bucket_name="covalent", project_id="local")
    collection = Collector(services, settings, identity, "job")
    assignment = TaskEnvironment("bucket", identity.task(), 1.0, False, 1, 0, 0, None, None, 1.0, True, 1.0, identity)
    for shown in (identity, collection, assignment, settings, [identity], {"a": assignment}):
        for text in (repr(shown), str(shown), f"{shown}"):
            assert not any(form in text for form in FORMS)


def test_an_error_of_the_wire_says_nothing_of_the_key() -> None:
    prefix = seal_envelope({"kind": "x"}, {}, KEY, task_binding(OUTCOME, "c"))
    for data in (prefix[:-1], prefix[:-1] + b"x", prefix[:3], b"noise"):
        with pytest.raises(WireError) as caught:
            read_header(io.BytesIO(data), KEY, task_binding(OUTCOME, "c"))
        assert not any(form in "".join(traceback.format_exception(caught.value)) for form in FORMS)


@pytest.mark.parametrize("function", [read_header, read_part, view_part])
def test_seals_and_digests_are_compared_in_constant_time(function: Any) -> None:
    """No timing is measured here: the source has to use `hmac.compare_digest`, and `==` for no seal or digest."""
    tree = ast.parse(inspect.getsource(function))
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert called.count("hmac.compare_digest") == 1
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
            assert not re.search("seal|given|digest|sha256|hmac", ast.unparse(node))


HOSTILE = [
    "..",
    "../other",
    "a/../../b",
    "/absolute",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "a b",
    "",
    ".",
    "%2e%2e%2f",
    "a?x=1",
    "a#b",
    "*",
    "\u202e",
    "a" * 101,
    "gs://bucket",
]


@pytest.mark.parametrize("dispatch_id", HOSTILE)
def test_no_id_climbs_out_of_the_prefix(dispatch_id: str) -> None:
    with pytest.raises(ValueError, match="dispatch id"):
        Call(dispatch_id, 0, "f", "3.11.7", "0.240.0")


@pytest.mark.parametrize("node_id", [0, -1, 10**9])
def test_every_object_of_a_call_lies_in_its_folder_and_is_known_to_the_cleaning(node_id: int) -> None:
    folder = Call("d-1_X", node_id, "f/../g", "3.11.7", "0.240.0").folder("0123456789abcdef")
    assert folder == f"covalent-parallel/d-1_X/{node_id}/0123456789abcdef"
    for name in (
        call_name(folder),
        outcome_name(folder, 7),
        partial_name(folder, 7, 3),
        stream_name(folder, 7, "stdout"),
        stream_name(folder, 7, "stderr"),
    ):
        assert name.startswith(f"{folder}/")
        read = parse_name(name)
        assert read is not None
        assert (read.folder, read.node_id) == (folder, node_id)
