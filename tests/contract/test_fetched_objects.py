"""`covalent-parallel fetch` on what a bucket may hold: forged objects, other servers', several jobs, partial output."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import own_covalent
import pytest
from click.testing import CliRunner, Result

own_covalent.load()

from covalent_parallel_plugin.cli import main  # noqa: E402
from covalent_parallel_plugin.cloud.storage import ObjectStore  # noqa: E402
from covalent_parallel_plugin.covalent_api.secret_file import secret_path, server_secret  # noqa: E402
from covalent_parallel_plugin.electron.server_secret import ServerSecret  # noqa: E402
from covalent_parallel_plugin.protocol.envelope import (  # noqa: E402
    EXCEPTION,
    ITEMS,
    KILLED,
    OUTCOME,
    PARTIAL,
    REFUSED,
    VALUE,
    Part,
    envelope_chunks,
    seal_envelope,
)
from covalent_parallel_plugin.protocol.identity import CallIdentity  # noqa: E402
from covalent_parallel_plugin.protocol.live_part import LivePart, LiveStream, seal_live_part  # noqa: E402

CALL_ID = "0123456789abcdef"
COMMON = {"kind": OUTCOME, "attempt": 0, "python": "3.11.7"}
RAISED = {
    "type": "KeyError",
    "module": "builtins",
    "message": "'x'",
    "args": ["x"],
    "traceback": "Traceback\nKeyError\n",
}


class Bucket:
    """One dispatch's objects in the bucket, sealed as its tasks do."""

    def __init__(self, store: ObjectStore, out: Path) -> None:
        self.store = store
        self.out = out
        self.dispatch_id = str(uuid.uuid4())
        self.secret = server_secret(secret_path())

    def call(self, node: int = 0, call_id: str = CALL_ID) -> CallIdentity:
        return self.secret.identity(self.dispatch_id, node, call_id)

    def put(
        self, name: str, header: Mapping[str, Any], parts: Mapping[str, Part], key: bytes, bound_to: bytes, cut: int = 0
    ) -> None:
        data = b"".join(envelope_chunks(seal_envelope(header, parts, key, bound_to), parts))
        assert self.store.put(name, data[: len(data) - cut])

    def outcome(self, node: int = 0, kind: str = VALUE, call_id: str = CALL_ID, cut: int = 0, **header: Any) -> None:
        address = self.call(node, call_id).task()
        parts = {"stdout": b"out\n", "value": b"pickle"} if kind == VALUE else {"stdout": b"out\n"}
        binding = address.binding(OUTCOME)
        self.put(address.outcome_name, COMMON | {"outcome": kind} | header, parts, address.call.key, binding, cut)

    def items(
        self,
        values: Mapping[int, bytes],
        task: int = 0,
        round: int = 0,
        chunk: int | None = None,
        raised: tuple[int, ...] = (),
        total: int | None = 10,
    ) -> None:
        """What a task delivered: a chunk of items, or its outcome with the rest of them."""
        address = self.call().task(task, round)
        indices = [*values, *raised]
        table = {
            "index": indices,
            "size": [len(values.get(index, b"")) for index in indices],
            "output": [0, 4, 0, 0] * len(indices),
            "raised": [[len(values) + row, RAISED, "argument"] for row in range(len(raised))],
            "shown": [],
        }
        header = COMMON | {"outcome": ITEMS, "count": total, "chunks": 0, "streams": [4, 0], "outside": [[], []]}
        parts: Mapping[str, Part] = {"stdout": b"out\n", "stderr": b"", "values": b"".join(values.values())}
        name = address.outcome_name if chunk is None else address.chunk_name(chunk)
        binding = address.binding(OUTCOME) if chunk is None else address.chunk_binding(chunk)
        self.put(name, header | {"table": table}, parts, address.call.key, binding)

    def partial(self, attempt: int, task: int = 0, round: int = 0) -> None:
        address = self.call().task(task, round)
        parts: Mapping[str, Part] = {"stdout": b"so far\n", "stderr": b""}
        binding = address.binding(PARTIAL)
        self.put(address.partial_name(attempt), {"kind": PARTIAL}, parts, address.call.key, binding)

    def live(self, number: int, text: bytes, task: int = 0, round: int = 0, attempt: int = 0) -> None:
        address = self.call().task(task, round)
        part = LivePart(attempt, number, LiveStream(100 * number, text))
        self.store.put(address.live_name(attempt, number), seal_live_part(address, part))

    def fetch(self, *arguments: str) -> Result:
        where = ["--project-id", "local", "--region", "us-east1", "--bucket-name", "covalent", "--out", str(self.out)]
        return CliRunner().invoke(main, ["fetch", self.dispatch_id, *arguments, *where])

    @property
    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.out)): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}


@pytest.fixture
def bucket(store: ObjectStore, tmp_path: Path) -> Bucket:
    return Bucket(store, tmp_path / "new" / "out")


def test_every_node_is_fetched_and_each_ending_has_its_words(bucket: Bucket) -> None:
    bucket.outcome(0)
    bucket.outcome(1, EXCEPTION, exception=RAISED)
    bucket.outcome(2, KILLED, signal=9, exit_status=None)
    bucket.outcome(3, KILLED, signal=9, exit_status=None, reason="time_limit")
    bucket.outcome(4, REFUSED, reason="wrong_python", message="another Python")
    bucket.outcome(-1)
    result = bucket.fetch()
    assert result.exit_code == 0, result.output
    texts = {name: data for name, data in bucket.files.items() if "stdout" not in name}
    assert texts == {
        "node--1.pickle": b"pickle",
        "node-0.pickle": b"pickle",
        "node-1.error.txt": b"Traceback\nKeyError\n",
        "node-2.error.txt": b"killed its process (signal 9)\n",
        "node-3.error.txt": b"ran past its time limit\n",
        "node-4.error.txt": b"another Python\n",
    }
    assert len(bucket.files) == 12
    assert "12 files written" in result.output


def test_of_a_map_all_jobs_and_chunks_count_and_a_value_wins_over_an_error(bucket: Bucket) -> None:
    bucket.items({0: b"aa", 2: b"cc"}, chunk=0, total=None)
    bucket.items({}, raised=(1, 3))
    bucket.items({4: b"ee"}, task=1, chunk=7, total=None)
    bucket.items({1: b"bb", 0: b"not this"}, round=1)
    bucket.items({}, round=2, raised=(3,))
    result = bucket.fetch()
    assert result.exit_code == 0, result.output
    files = bucket.files
    assert {name: data for name, data in files.items() if name.endswith(".pickle")} == {
        f"node-0/item-{index:05}.pickle": 2 * b"abcde"[index : index + 1] for index in (0, 1, 2, 4)
    }
    assert [name for name in files if "error" in name] == ["node-0/item-00003.error.txt"]
    assert files["node-0/item-00003.error.txt"] == b"(argument): raised KeyError\n\nTraceback\nKeyError\n"
    assert "4 of 10 values of a map, 1 error, 5 items have not ended" in result.output


def test_output_so_far_is_fetched_where_no_outcome_came(bucket: Bucket) -> None:
    bucket.partial(0)
    bucket.partial(12)
    result = bucket.fetch()
    assert result.exit_code == 0, result.output
    assert bucket.files == {f"node-0.attempt-{attempt}.stdout.txt": b"so far\n" for attempt in (0, 12)}
    assert "no outcome" in result.output


def test_a_maps_output_so_far_is_among_what_it_printed(bucket: Bucket) -> None:
    bucket.items({0: b"a"})
    bucket.partial(1, task=2, round=3)
    assert bucket.fetch().exit_code == 0
    assert b"--- task 2 of job 4, attempt 1, which was lost ---\nso far\n" in bucket.files["node-0/stdout.txt"]


def test_a_long_stream_is_copied_whole(bucket: Bucket) -> None:
    bucket.outcome()
    address = bucket.call().task()
    bucket.store.put(address.stream_name("stdout"), b"x" * 3_000_000)
    assert bucket.fetch().exit_code == 0
    assert bucket.files["node-0.whole-stdout.txt"] == b"x" * 3_000_000


def test_two_calls_of_one_node_have_the_calls_id_in_their_names(bucket: Bucket) -> None:
    bucket.outcome()
    bucket.outcome(call_id="f" * 16)
    assert bucket.fetch("0").exit_code == 0
    assert {name for name in bucket.files if name.endswith(".pickle")} == {
        f"node-0.{CALL_ID}.pickle",
        f"node-0.{'f' * 16}.pickle",
    }


def test_another_servers_objects_are_refused_and_the_secret_is_named(bucket: Bucket) -> None:
    bucket.secret = ServerSecret.random()
    bucket.outcome(0)
    bucket.outcome(1)
    result = bucket.fetch()
    assert result.exit_code == 1
    assert bucket.files == {}
    assert f"nothing of it has a seal of this server, whose secret is {secret_path()}: run fetch where" in result.output
    for node in (0, 1):
        assert f"gs://covalent/{bucket.call(node).task().outcome_name}: " in result.output


def test_what_is_forged_cut_off_or_no_envelope_is_named_and_the_rest_is_written(bucket: Bucket) -> None:
    bucket.outcome(0)
    bucket.outcome(1, cut=1)
    bucket.outcome(3, surprise="harmless", attempt="not a number")
    forged = bucket.call(2).task()
    binding = forged.binding(OUTCOME)
    bucket.put(forged.outcome_name, COMMON | {"outcome": VALUE}, {"value": b"cos\nsystem\n"}, b"k" * 32, binding)
    bucket.store.put(bucket.call(4).task().outcome_name, b"nonsense")
    result = bucket.fetch()
    assert result.exit_code == 1
    assert set(bucket.files) == {"node-0.pickle", "node-0.stdout.txt"}
    for node in (1, 2, 3, 4):
        assert f"gs://covalent/{bucket.call(node).task().outcome_name}: the o" in result.output
    assert "nothing of it has a seal" not in result.output


def test_an_object_put_in_the_place_of_another_one_is_refused(bucket: Bucket) -> None:
    bucket.items({0: b"a"}, chunk=0)
    source, target = bucket.call().task().chunk_name(0), bucket.call().task(1).chunk_name(0)
    copy = io.BytesIO()
    bucket.store.get(source, copy)
    bucket.store.put(target, copy.getvalue())
    result = bucket.fetch()
    assert (result.exit_code, f"gs://covalent/{target}: a chunk of items of task 1" in result.output) == (1, True)
    assert bucket.files["node-0/item-00000.pickle"] == b"a"


def test_a_call_that_has_no_outcome_yet_writes_nothing(bucket: Bucket) -> None:
    bucket.store.put(bucket.call().object_name, b"the call")
    result = bucket.fetch()
    assert (result.exit_code, bucket.files) == (1, {})
    assert "node-0     no outcome" in result.output


def test_where_nothing_is_there_no_folder_is_made(bucket: Bucket) -> None:
    bucket.store.put(f"covalent-parallel/{bucket.dispatch_id}/notes.txt", b"somebody else's")
    result = bucket.fetch()
    assert (result.exit_code, bucket.out.exists()) == (1, False)
    assert f"gs://covalent has nothing of dispatch {bucket.dispatch_id}: " in result.output


def test_without_a_secret_the_command_says_where_to_run_and_makes_none(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = secret_path()
    moved = path.rename(tmp_path / "moved")
    try:
        bucket.outcome()
        result = bucket.fetch()
        assert (result.exit_code, path.exists()) == (1, False)
    finally:
        moved.rename(path)
    assert f"there is no secret of a server at {path}" in result.output


@pytest.mark.parametrize("dispatch_id", ["../x", "a/b", "", "*"])
def test_what_is_not_a_dispatch_id_is_a_usage_error(bucket: Bucket, dispatch_id: str) -> None:
    bucket.dispatch_id = dispatch_id
    result = bucket.fetch()
    assert result.exit_code == 2
    assert "is not a valid dispatch id" in result.output


def test_a_file_in_the_place_of_the_folder_is_told(bucket: Bucket) -> None:
    bucket.outcome()
    bucket.out.parent.mkdir()
    bucket.out.touch()
    assert bucket.fetch().exit_code == 2


def test_what_an_attempt_delivered_while_it_ran_is_fetched_where_nothing_else_has_it(bucket: Bucket) -> None:
    bucket.live(0, b"first ")
    bucket.live(1, b"second")
    bucket.live(0, b"known already", attempt=1)
    bucket.partial(1)
    bucket.store.put(bucket.call().task().live_name(0, 2), b"forged")
    bucket.store.put(bucket.call().follow_name, b"of no interest")
    result = bucket.fetch()
    assert bucket.files == {
        "node-0.attempt-0.stdout.txt": b"first \n... 94 bytes left out ...\nsecond",
        "node-0.attempt-1.stdout.txt": b"so far\n",
    }
    assert "live/0-0-2-0: the object does not start" in result.output


def test_what_a_task_with_an_outcome_delivered_while_it_ran_is_not_fetched_once_more(bucket: Bucket) -> None:
    bucket.live(0, b"out\n")
    bucket.outcome(0)
    assert bucket.fetch().exit_code == 0
    assert set(bucket.files) == {"node-0.pickle", "node-0.stdout.txt"}


def test_what_a_maps_tasks_delivered_while_they_ran_is_fetched_by_task(bucket: Bucket) -> None:
    bucket.items({0: b"zero"}, chunk=0)
    bucket.live(0, b"going on\n", task=2)
    assert bucket.fetch().exit_code == 0
    assert b"--- task 2, attempt 0, while it ran ---\ngoing on\n" in bucket.files["node-0/stdout.txt"]
