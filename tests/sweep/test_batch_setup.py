"""What the machines of a sweep are given: files and inputs, the setup of a round, and its tasks filled in."""

from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from by_hand import grid, sweep_file, text

from covalent_parallel_plugin.protocol.envelope import WireError
from covalent_parallel_plugin.protocol.sweep_identity import SweepIdentity
from covalent_parallel_plugin.protocol.sweep_objects import content_name, setup_name, sweep_folder
from covalent_parallel_plugin.sweep.batch import contents
from covalent_parallel_plugin.sweep.batch.contents import ContentUpload
from covalent_parallel_plugin.sweep.batch.image_pin import BatchImage
from covalent_parallel_plugin.sweep.batch.launches import ShardTasks
from covalent_parallel_plugin.sweep.batch.setup import (
    RoundShape,
    SharedContents,
    read_setup,
    setup_document,
    write_setup,
)
from covalent_parallel_plugin.sweep.staging.inputs import DigestCache, InputError, pin_inputs
from covalent_parallel_plugin.sweep.staging.task_files import LayOutError, TaskFiles
from covalent_parallel_plugin.sweep.sweep_file import FileEntry, ResultSource, SweepFile
from covalent_parallel_plugin.sweep.tasks import Pinned, PinnedImage, SweepTasks

if TYPE_CHECKING:
    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.emulator import Emulator

IMAGE = BatchImage.of(PinnedImage("sha256:1", "r/pi@sha256:1", ("pi",), ("--help",), "1000", "/", {"LD_PRELOAD": "x"}))
MIB = 2**20


@pytest.fixture
def store(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    from covalent_parallel_plugin.cloud.storage import ObjectStore

    for name, address in emulator.environment.items():
        monkeypatch.setenv(name, address)
    return ObjectStore.shared("local", "covalent")


@pytest.fixture
def identity() -> SweepIdentity:
    sweep_id = uuid.uuid4().hex[:12]
    return SweepIdentity(sweep_id, bytes(range(32)), sweep_folder("art", sweep_id))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(store: ObjectStore, name: str) -> bytes:
    found = io.BytesIO()
    assert store.get(name, found)
    return found.getvalue()


def upload(
    store: ObjectStore, identity: SweepIdentity, file: SweepFile, versions: dict[str, str] | None = None
) -> SharedContents:
    cache = file.path.parent / "out" / "digests.json"
    cache.parent.mkdir(exist_ok=True)
    found = pin_inputs(file.inputs, cache, "local") if versions is None else versions
    return ContentUpload(store, identity, "local", DigestCache(cache), cache.parent).upload(
        TaskFiles.find(file), file.inputs, found
    )


def made(folder: Path, **contents: bytes) -> Path:
    for name, data in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_each_content_is_in_the_bucket_once(store: ObjectStore, identity: SweepIdentity, tmp_path: Path) -> None:
    made(tmp_path, src__a=b"1", src__b=b"1", run=b"#!", **{"x.template": b"{g}"})
    made(tmp_path, base__deep__one=b"1", base__empty=b"", single=b"2")
    (tmp_path / "run").chmod(0o755)
    os.utime(tmp_path / "run", ns=(1, 5_000_000_007))
    (tmp_path / "base" / "nowhere").symlink_to("gone")
    os.mkfifo(tmp_path / "base" / "pipe")
    file = sweep_file(
        tmp_path,
        [grid({"g": 1})],
        files=["src", FileEntry(text("run"), keep=False), "x.template"],
        inputs={"base": str(tmp_path / "base"), "single": str(tmp_path / "single")},
    )
    found = upload(store, identity, file)

    def object_of(data: bytes) -> str:
        return content_name(identity.folder, sha256(data))

    brought = {entry["target"]: entry for entry in found.files}
    assert set(brought) == {"src/a", "src/b", "run"}
    assert brought["run"] == {
        "target": "run",
        "object": object_of(b"#!"),
        "size": 2,
        "mode": 0o755,
        "mtime_ns": 5_000_000_007,
        "keep": False,
    }
    given = {
        (entry["name"], each["path"]): (each["bucket"], each["object"], each["generation"], each["size"])
        for entry in found.inputs
        for each in entry["files"]
    }
    assert given == {
        ("base", "deep/one"): ("covalent", object_of(b"1"), 0, 1),
        ("base", "empty"): ("covalent", object_of(b""), 0, 0),
        ("single", ""): ("covalent", object_of(b"2"), 0, 1),
    }
    there = store.list(content_name(identity.folder, ""))
    assert {stored.name for stored in there} == {object_of(data) for data in (b"1", b"#!", b"", b"2")}
    assert all(sha256(content(store, stored.name)) == stored.name.rpartition("/")[2] for stored in there)
    assert upload(store, identity, file) == found
    assert store.list(content_name(identity.folder, "")) == there


def test_what_the_bucket_has_of_another_size_is_replaced(
    store: ObjectStore, identity: SweepIdentity, tmp_path: Path
) -> None:
    made(tmp_path, a=b"right")
    name = content_name(identity.folder, sha256(b"right"))
    store.put(name, b"cut")
    upload(store, identity, sweep_file(tmp_path, [grid({"g": 1})], files=["a"]))
    assert content(store, name) == b"right"


def test_a_large_file_is_never_in_memory_as_a_whole(
    store: ObjectStore, identity: SweepIdentity, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    block = os.urandom(MIB)
    with (tmp_path / "base" / "big").open("wb") as file:
        for number in range(64):
            file.write(number.to_bytes(4, "big") + block)
    data = sweep_file(tmp_path, [grid({"g": 1})], inputs={"base": str(tmp_path / "base")})
    tracemalloc.start()
    try:
        found = upload(store, identity, data)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 40 * MIB
    (entry,) = found.inputs[0]["files"]
    assert content(store, entry["object"]) == (tmp_path / "base" / "big").read_bytes()


def test_what_has_changed_meanwhile_is_not_given(store: ObjectStore, identity: SweepIdentity, tmp_path: Path) -> None:
    made(tmp_path, base__a=b"1")
    file = sweep_file(tmp_path, [grid({"g": 1})], inputs={"base": str(tmp_path / "base")})
    versions = pin_inputs(file.inputs, tmp_path / "cache.json")
    made(tmp_path, base__a=b"2")
    with pytest.raises(InputError, match=r"inputs: base: .* has changed since the run began: run the sweep again"):
        upload(store, identity, file, versions)
    files = TaskFiles.find(sweep_file(tmp_path, [grid({"g": 1})], files=["base"]))
    assert files.digest
    made(tmp_path, base__a=b"longer")
    with pytest.raises(LayOutError, match="files: base/a has changed since the run began"):
        ContentUpload(store, identity, "local", DigestCache(tmp_path / "c"), tmp_path / "out").upload(files, {}, {})
    assert store.list(content_name(identity.folder, "")) == []


def test_inputs_in_buckets_are_named_by_their_generation(
    store: ObjectStore, identity: SweepIdentity, tmp_path: Path
) -> None:
    prefix = f"inputs/{identity.sweep_id}"
    for name, data in (("a", b"1"), ("deep/b", b"22"), ("deep/", b"")):
        store.put(f"{prefix}/{name}", data)
    generations = {stored.name: stored.generation for stored in store.list(prefix)}
    file = sweep_file(
        tmp_path, [grid({"g": 1})], inputs={"all": f"gs://covalent/{prefix}/", "one": f"gs://covalent/{prefix}/a"}
    )
    found = upload(store, identity, file)
    assert [
        (entry["name"], each["path"], each["bucket"], each["object"], each["generation"], each["size"])
        for entry in found.inputs
        for each in sorted(entry["files"], key=lambda each: str(each["path"]))
    ] == [
        ("all", "a", "covalent", f"{prefix}/a", generations[f"{prefix}/a"], 1),
        ("all", "deep/b", "covalent", f"{prefix}/deep/b", generations[f"{prefix}/deep/b"], 2),
        ("one", "", "covalent", f"{prefix}/a", generations[f"{prefix}/a"], 1),
    ]
    assert store.list(content_name(identity.folder, "")) == []
    with pytest.raises(InputError, match=r"all: gs://covalent/.* has changed since the run began"):
        upload(store, identity, file, {"all": "0", "one": "0"})


@pytest.mark.parametrize(("bundle", "shard", "tasks"), [(1, 100, 250), (3, 99, 84), (70, 70, 4), (1000, 1000, 1)])
def test_a_shard_has_whole_bundles(bundle: int, shard: int, tasks: int) -> None:
    shape = RoundShape(0, 250, bundle)
    assert (shape.shard_size, shape.job_tasks) == (shard, tasks)


def test_bundles_are_as_the_file_says_else_as_batch_takes_them() -> None:
    file = sweep_file(Path("/nowhere"), [grid({"g": 1})])
    assert [RoundShape.of(file, 0, total).bundle for total in (0, 1, 100_000, 100_001, 1_000_000)] == [1, 1, 1, 2, 10]
    assert RoundShape.of(replace(file, bundle=7), 3, 5) == RoundShape(3, 5, 7)


def document(identity: SweepIdentity, **changes: Any) -> Any:
    file = sweep_file(Path("/nowhere"), [grid({"g": [1, 2]})], retry_on=frozenset({75, 9}), **changes)
    return setup_document(file, IMAGE, identity, SharedContents(), RoundShape(2, 5, 3), count=7)


def test_a_setup_says_what_all_tasks_have_in_common(store: ObjectStore, identity: SweepIdentity) -> None:
    written = document(identity, outputs="/mnt/data", config="json", result=ResultSource(file="r.json"))
    assert write_setup(store, identity, 2, written)
    found = read_setup(store, identity, 2)
    assert (
        found
        == written
        == {
            "sweep": {"name": "art", "id": identity.sweep_id, "count": 7},
            "round": 2,
            "bundle": 3,
            "shard_size": 99,
            "total": 5,
            "time_limit": 300,
            "idle_limit": None,
            "log_limit": 1024**3,
            "retry_on": [9, 75],
            "last_attempt": 3,
            "result": {"file": "r.json"},
            "outputs": "/mnt/data",
            "image": {"user": "1000", "environment": {"LD_PRELOAD": "x"}},
            "config": "json",
            "files": [],
            "inputs": [],
        }
    )
    assert read_setup(store, identity, 3) is None
    # A round has one setup
    assert write_setup(store, identity, 2, written)
    assert not write_setup(store, identity, 2, {**written, "total": 6})
    store.put(setup_name(identity.folder, 3), content(store, setup_name(identity.folder, 2)))
    with pytest.raises(WireError):
        read_setup(store, identity, 3)


def test_inputs_with_too_many_files_are_refused(
    store: ObjectStore, identity: SweepIdentity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed = [{"path": "x" * 1000, "object": str(number)} for number in range(40_000)]
    with pytest.raises(InputError, match=r"the list of their files is too long .*: pack them into archives"):
        write_setup(store, identity, 0, {"inputs": [{"name": "base", "files": listed}]})
    monkeypatch.setattr(contents, "MOST_INPUT_FILES", 1)
    made(tmp_path, base__a=b"1", base__b=b"2")
    with pytest.raises(InputError, match="they have more than 1 files: pack them into archives"):
        upload(store, identity, sweep_file(tmp_path, [grid({"g": 1})], inputs={"base": str(tmp_path / "base")}))


def test_a_pattern_travels_with_its_flags(identity: SweepIdentity) -> None:
    import re

    pattern = re.compile("^pi = (?P<pi>.*)$", re.MULTILINE)
    told = document(identity, result=ResultSource(pattern=pattern))["result"]
    assert re.compile(told["pattern"], told["flags"]) == pattern
    assert document(identity)["result"] is None


def launched(identity: SweepIdentity, folder: Path, command: list[str], **changes: Any) -> Any:
    file = sweep_file(folder, [grid({"g": [1, "{x}"]})], command, **changes)
    tasks = SweepTasks(file, Pinned(IMAGE.pinned))
    assert tasks.check()[0] == []
    filled = ShardTasks(tasks, IMAGE, identity, 2, 7, "covalent")
    return filled.of(list(tasks)[-1])


def test_a_task_has_its_words_variables_templates_and_config(identity: SweepIdentity, tmp_path: Path) -> None:
    made(tmp_path, base=b"", **{"in.txt.template": b"{g} \xff {sweep.folder} {inputs.base}"})
    (tmp_path / "in.txt.template").chmod(0o640)
    os.utime(tmp_path / "in.txt.template", ns=(1, 7))
    words = ["{g}", "{sweep.folder}", "{sweep.config}", "{inputs.base}", "{sweep.prefix}", "{sweep.config_object}"]
    task = launched(
        identity,
        tmp_path,
        [*words, "{sweep.result_object}"],
        config="yaml",
        files=["in.txt.template"],
        inputs={"base": str(tmp_path / "base")},
        environment={"MODE": "{g}"},
    )
    folder, inputs = "/mnt/covalent-parallel-tasks/2-1/files", "/mnt/covalent-parallel-sweep/inputs/base"
    own = f"{identity.folder}/round-2/own/0000001/"
    assert task.argv == (
        *("pi", "{x}", folder, f"{folder}/config.yaml", inputs, own, f"{own}config.yaml", f"{own}result.json"),
    )
    assert task.environment == {
        "MODE": "{x}",
        "SWEEP_NAME": "art",
        "SWEEP_ID": identity.sweep_id,
        "SWEEP_TASK": "g=_x_",
        "SWEEP_INDEX": "1",
        "SWEEP_COUNT": "7",
        "SWEEP_FOLDER": folder,
        "SWEEP_CONFIG": f"{folder}/config.yaml",
        "SWEEP_BUCKET": "covalent",
        "SWEEP_PREFIX": own,
        "SWEEP_CONFIG_OBJECT": f"{own}config.yaml",
        "SWEEP_RESULT_OBJECT": f"{own}result.json",
    }
    assert task.config == 'g: "{x}"\n'
    filled = f"{{x}} \udcff {folder} {inputs}"
    assert task.templates == {"in.txt": {"text": filled, "mode": 0o640, "mtime_ns": 7, "keep": True}}
    assert (task.index, task.name) == (1, "g=_x_")


def test_a_task_without_config_has_no_words_of_one(identity: SweepIdentity, tmp_path: Path) -> None:
    task = launched(identity, tmp_path, ["{g}"], outputs="/mnt/data", result=ResultSource(file="r.csv"))
    assert (task.config, task.templates) == (None, {})
    assert not any("CONFIG" in name for name in task.environment)
    assert task.environment["SWEEP_FOLDER"] == "/mnt/data"
    assert task.environment["SWEEP_RESULT_OBJECT"].endswith("/own/0000001/r.csv")


@pytest.mark.parametrize(
    ("command", "entrypoint", "argv"),
    [
        ([], None, ("pi", "--help")),
        (["x"], None, ("pi", "x")),
        ([], ["sh"], ("sh",)),
        (["x"], ["sh", "-c"], ("sh", "-c", "x")),
        (["x"], [], ("x",)),
    ],
)
def test_entrypoint_and_command_are_put_together_as_docker_does(
    identity: SweepIdentity, tmp_path: Path, command: list[str], entrypoint: list[str] | None, argv: tuple[str, ...]
) -> None:
    assert launched(identity, tmp_path, command, entrypoint=entrypoint).argv == argv
