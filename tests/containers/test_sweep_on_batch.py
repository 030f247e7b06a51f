"""The examples of a sweep through the emulator's Batch, beside the same on this machine."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import NFS_EXPORT
from container_jobs import containers_of, volumes_of, waited
from google.cloud import storage  # type: ignore[attr-defined]  # the package has no types
from test_sweep_examples import EXAMPLES, in_place_of, rows, sweep

from covalent_parallel_plugin.emulator import ContainerRuntime, Emulator, Fault, Faults

pytestmark = pytest.mark.containers

PLACE = ("--set", "resources.project_id=local", "--set", "resources.bucket_name=covalent")
OWN = {"task.seconds", "task.machine", "task.started", "task.ended", "task.peak_mb"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def bucket_client(services: Emulator) -> Iterator[storage.Client]:
    client = storage.Client(project="local")
    yield client
    client._http.close()


@pytest.fixture(scope="module")
def built(engine: str, image: str, names: Callable[[str], str]) -> Callable[[str], str]:
    made: dict[str, str] = {}

    def build(example: str) -> str:
        if example not in made:
            made[example] = names(f"batch-{example.replace('_', '-')}")
            words = [engine, "build", "--network=host", "--tag", made[example], str(EXAMPLES / example)]
            subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
        return made[example]

    return build


def same(out: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in OWN} for row in rows(out)]


def written(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("example", "name", "change"),
    [
        ("pi", "pi", ("localhost/pi:1", "")),
        ("pixel_art", "art", ("localhost/art:1", "g: 10, i: {start: 1, stop: 10}")),
        ("calculator", "calculator", ("localhost/calculator:1", "")),
    ],
)
def test_an_example_gives_the_same_table_here_and_on_batch(
    services: Emulator,
    runtime: ContainerRuntime,
    built: Callable[[str], str],
    bucket_client: storage.Client,
    home: Path,
    example: str,
    name: str,
    change: tuple[str, str],
) -> None:
    text = in_place_of((EXAMPLES / example / "sweep.yaml").read_text(), (change[0], built(example)))
    if change[1]:
        # One that the program refuses, and fewer of all
        text = in_place_of(text, (change[1], "g: 10, i: [1, five]"), ("{start: 1, stop: 10}", "[1, 2]"))
    (home / "sweep.yaml").write_text(text)
    here = sweep("run", "sweep.yaml", "--local", "--out", "here", cwd=home)
    there = sweep("run", "sweep.yaml", "--out", "there", *PLACE, cwd=home)
    assert here.returncode == there.returncode == bool(change[1]), here.stderr + there.stdout + there.stderr
    assert same(home / "here") == same(home / "there") != []
    for task in rows(home / "here"):
        folder = task["task.folder"]
        assert written(home / "here" / folder / "files") == written(home / "there" / folder / "files")
        for stream in ("stdout.txt", "stderr.txt"):
            assert (home / "here" / folder / stream).read_text() == (home / "there" / folder / stream).read_text()
    waited(lambda: volumes_of(runtime) + containers_of(runtime), lambda found: not found)
    ended = sweep("clean", "there", "--yes", cwd=home)
    stored = bucket_client.list_blobs("covalent", prefix=f"covalent-sweeps/{name}/")
    left = [blob.name for blob in stored]
    assert (ended.returncode, left) == (0, []), ended.stderr


def test_the_calculator_reads_and_writes_objects_of_the_bucket(
    services: Emulator, built: Callable[[str], str], home: Path
) -> None:
    text = (EXAMPLES / "calculator" / "objects.yaml").read_text()
    (home / "sweep.yaml").write_text(in_place_of(text, ("localhost/calculator:1", built("calculator"))))
    here = sweep("run", "sweep.yaml", "--local", "--out", "here", cwd=home)
    there = sweep("run", "sweep.yaml", "--out", "there", *PLACE, cwd=home)
    assert here.returncode == there.returncode == 0, here.stderr + there.stdout + there.stderr
    assert same(home / "here") == same(home / "there") != []
    # With --local the result is a file of the task's folder
    assert (home / "here" / "x=1,y=2" / "files" / "result.json").exists()
    assert not (home / "there" / "x=1,y=2" / "files" / "result.json").exists()
    stored = storage.Client(project="local").list_blobs("covalent", prefix="covalent-sweeps/calculator-objects/")
    assert sum(blob.name.endswith("/result.json") for blob in stored) == len(rows(home / "there")) == 6


def test_what_waits_is_taken_back_and_what_runs_goes_on(
    services: Emulator, built: Callable[[str], str], home: Path
) -> None:
    # The first task goes on until its `sleep`, of a length of its own, is ended
    sleep = ["sleep", f"{random.randrange(10**6, 10**7)}"]
    (home / "sweep.yaml").write_text(
        f"name: drained\nimage: {built('pi')}\nentrypoint: [sh, -c]\n"
        f"command: ['test {{i}} != 0 || {' '.join(sleep)}; echo on']\n"
        "parameters: {i: {start: 0, stop: 3}}\nmax_parallel: 1\nretries: 0\n"
        "resources: {vcpus: 1, memory: 64, poll_freq: 0.2}\n"
    )
    program = "from covalent_parallel_plugin.cli import main; main()"
    words = [sys.executable, "-c", program, "sweep", "run", "sweep.yaml", *PLACE]
    with subprocess.Popen(words, cwd=home, stdout=subprocess.PIPE, text=True) as client:
        (process,) = waited(lambda: processes_of(sleep), bool)
        ended = sweep("cancel", "drained", "--waiting", cwd=home)
        process.kill()
        out, _ = client.communicate(timeout=120)
    assert (client.returncode, ended.returncode) == (1, 0), out + ended.stdout + ended.stderr
    assert "stopped: cancel --waiting: nothing more was started: 1 done, 2 waiting" in out
    assert [row["task.status"] for row in rows(home / "drained")] == ["done", "waiting", "waiting"]
    ended = sweep("run", "sweep.yaml", *PLACE, cwd=home)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [row["task.status"] for row in rows(home / "drained")] == ["done"] * 3


def processes_of(words: list[str]) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == words]


def test_a_killed_client_goes_on_in_another_folder_and_nothing_delivered_runs_again(
    services: Emulator, built: Callable[[str], str], home: Path
) -> None:
    (home / "sweep.yaml").write_text(
        f"name: again\nimage: {built('pi')}\nentrypoint: [sh, -c]\n"
        "command: ['echo {i}; sleep 2; echo ran > $SWEEP_FOLDER/out']\n"
        "parameters: {i: {start: 0, stop: 8}}\nresources: {vcpus: 1, memory: 64, poll_freq: 0.2}\n"
    )
    program = "from covalent_parallel_plugin.cli import main; main()"
    words = [sys.executable, "-c", program, "sweep", "run", "sweep.yaml", "--out", "first", *PLACE]
    before = services.counts
    with subprocess.Popen(words, cwd=home, stdout=subprocess.DEVNULL) as client:
        waited(lambda: services.counts["tasks"], lambda count: count > before["tasks"])
        client.kill()
    ended = sweep("run", "sweep.yaml", "--out", "second", *PLACE, cwd=home)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = rows(home / "second")
    assert [(row["i"], row["task.status"], row["task.attempts"]) for row in found] == [(i, "done", 1) for i in range(8)]
    assert all((home / "second" / f"i={i}" / "files" / "out").read_text() == "ran\n" for i in range(8))
    assert services.counts["attempts"] - before["attempts"] == 8


def test_what_a_cancelled_task_had_written_comes_back(
    services: Emulator, built: Callable[[str], str], home: Path
) -> None:
    (home / "sweep.yaml").write_text(
        f"name: ended\nimage: {built('pi')}\nentrypoint: [sh, -c]\n"
        "command: ['echo begun {i}; echo half > $SWEEP_FOLDER/out; sleep 60']\n"
        "parameters: {i: [7]}\nresources: {vcpus: 1, memory: 64, poll_freq: 0.2}\n"
    )
    program = "from covalent_parallel_plugin.cli import main; main()"
    words = [sys.executable, "-c", program, "sweep", "run", "sweep.yaml", *PLACE]
    with subprocess.Popen(words, cwd=home, stdout=subprocess.DEVNULL) as client:
        waited(
            lambda: subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True).stdout,
            lambda shown: "echo begun 7; echo half" in shown,
        )
        ended = sweep("cancel", "ended", cwd=home)
        assert (client.wait(60), ended.returncode) == (130, 0), ended.stderr
    (row,) = rows(home / "ended")
    assert (row["task.status"], bool(row["task.started"])) == ("cancelled", True)
    assert (home / "ended" / "ended" / "stdout.txt").read_text() == "begun 7\n"
    assert written(home / "ended" / "ended" / "files") == {"out": b"half\n"}


CHAOS = (
    Fault("rpc.error", rate=0.1, code="UNAVAILABLE"),
    Fault("attempt.preempt", rate=1 / 3, attempt="0"),
    Fault("storage.error", rate=0.05, code=503),
)
CHAOS_TASKS = 30


def test_a_run_in_chaos_is_complete_and_runs_nothing_that_was_delivered(
    services: Emulator,
    bucket_client: storage.Client,
    built: Callable[[str], str],
    nfs_folder: Path,
    home: Path,
) -> None:
    (nfs_folder / "ran").mkdir()
    ran = f"nfs://{NFS_EXPORT.replace(':', '')}/ran"
    begun = "date +%s.%N > /mnt/disks/ran/$SWEEP_INDEX-$(cat /proc/sys/kernel/random/uuid)"
    (home / "sweep.yaml").write_text(
        f"name: chaos\nimage: {built('pi')}\nentrypoint: [sh, -c]\n"
        f"command: ['{begun}; echo {{i}}; echo {{i}} > $SWEEP_FOLDER/out']\n"
        f"parameters: {{i: {{start: 0, stop: {CHAOS_TASKS}}}}}\nresult: {{stdout: '(?P<told>.+)'}}\n"
        f"resources: {{vcpus: 1, memory: 64, poll_freq: 0.2, volumes: {{ran: '{ran}:rw'}}}}\n"
    )
    services.faults.set(Faults(CHAOS, seed=5))
    try:
        ended = sweep("run", "sweep.yaml", "--out", "out", *PLACE, cwd=home)
    finally:
        services.faults.set(Faults())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = [(row["i"], row["told"], row["task.status"]) for row in rows(home / "out")]
    assert found == [(index, index, "done") for index in range(CHAOS_TASKS)]
    assert any(row["task.attempts"] > 1 for row in rows(home / "out")), "nothing was preempted"
    delivered = {
        int(blob.name.rpartition("/")[2]): blob.time_created.timestamp()
        for blob in bucket_client.list_blobs("covalent", prefix="covalent-sweeps/chaos/")
        if "/outcomes/" in blob.name
    }
    began = [(int(path.name.partition("-")[0]), float(path.read_text())) for path in (nfs_folder / "ran").iterdir()]
    assert {index for index, _ in began} == set(range(CHAOS_TASKS)) == delivered.keys()
    assert [index for index, second in began if second > delivered[index]] == []
    assert sweep("clean", "out", "--yes", cwd=home).returncode == 0
    assert list(bucket_client.list_blobs("covalent", prefix="covalent-sweeps/chaos/")) == []
