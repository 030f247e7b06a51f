"""`covalent-parallel sweep` with containers: an image that moves, runs that are killed, a task tried by hand."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.containers

COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "sweep"]
SECONDS = 120
TIMES = ("task.seconds", "task.attempts", "task.started", "task.ended", "task.peak_mb")


class Sweeps:
    """A folder with a sweep of an image's own."""

    def __init__(self, folder: Path, engine: str, tag: str, base: str) -> None:
        self.folder, self.engine, self.tag, self._base = folder, engine, tag, base
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}

    def build(self, version: str) -> None:
        """Have the tag mean an image with this version in it."""
        recipe = self.folder / "Dockerfile"
        recipe.write_text(f"FROM {self._base}\nENV VERSION={version}\nUSER 65532\n")
        words = [self.engine, "build", "--network=host", "--tag", self.tag, "--file", str(recipe), str(self.folder)]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
        assert ended.returncode == 0, ended.stderr

    def write(self, command: str, count: int, more: str = "") -> None:
        (self.folder / "art.yaml").write_text(
            f"image: {self.tag}\nentrypoint: [sh, -c, {json.dumps(command)}]\ncommand: '{{i}}'\n"
            f"parameters: {{i: {{start: 0, stop: {count}}}}}\nresources: {{vcpus: 1, memory: 64}}\n"
            f"max_parallel: 3\n{more}"
        )

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(
            [*COMMAND, *words], cwd=self.folder, env=self.environment, stdin=nowhere, stdout=nowhere, stderr=nowhere
        )

    def rows(self, out: str = "art") -> list[dict[str, Any]]:
        loaded: list[dict[str, Any]] = json.loads((self.folder / out / "results.json").read_text())
        return loaded

    def events(self) -> list[dict[str, Any]]:
        path = self.folder / "art" / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def containers(self) -> list[str]:
        words = [self.engine, "ps", "--all", "--format={{.Names}}", "--filter=label=covalent-parallel-sweep"]
        return subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=True).stdout.split()


@pytest.fixture
def sweeps(engine: str, image: str, names: Callable[[str], str], tmp_path: Path) -> Iterator[Sweeps]:
    made = Sweeps(tmp_path, engine, names("sweep"), image)
    made.build("one")
    yield made


def test_a_tag_that_has_moved_runs_everything_again_unless_the_image_is_kept(sweeps: Sweeps) -> None:
    sweeps.write("echo version $VERSION", 2, "result: {stdout: 'version (?P<version>.*)'}\n")
    assert sweeps("run", "art.yaml", "--local").returncode == 0
    sweeps.build("two")
    assert "2 are done" in sweeps("plan", "art.yaml").stdout
    kept = sweeps("run", "art.yaml", "--local", "--keep-image", "--set", "parameters.i=[0, 1, 2]")
    assert kept.returncode == 0, kept.stdout + kept.stderr
    assert [row["version"] for row in sweeps.rows()] == ["one", "one", "one"]
    moved = sweeps("run", "art.yaml", "--local")
    assert moved.returncode == 0
    announced = moved.stdout.splitlines()
    assert announced[0].startswith(f"{sweeps.tag} has moved: it was sha256:") and "--keep-image" in announced[0]
    assert announced[1:3] == ["2: the image changed", "    i=0 i=1"]
    assert [row["version"] for row in sweeps.rows()] == ["two", "two"]


def test_the_shown_line_starts_the_task(sweeps: Sweeps) -> None:
    (sweeps.folder / "word.template").write_text("the number {i}\n")
    command = "cat word; echo made > made; test $0 != 1"
    sweeps.write(f"cd $SWEEP_FOLDER; {command}", 2, "files: [word.template]\noutputs: /mnt/data\n")
    assert sweeps("run", "art.yaml", "--local").returncode == 1
    line = sweeps("show", "art", "i=1").stdout
    assert line.startswith(f"{sweeps.engine} run ") and line.count("\n") == 1
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=SECONDS)
    assert (ended.returncode, ended.stdout) == (1, "the number 1\n"), ended.stderr
    assert "USER" not in line and (sweeps.folder / "art" / ".try" / "i=1" / "made").exists()


def test_a_run_that_is_killed_ten_times_ends_like_one_that_is_not(sweeps: Sweeps) -> None:
    sweeps.write("sleep 0.2; echo number $0", 40, "result: {stdout: 'number (?P<number>.*)'}\n")
    chance = random.Random(13)
    for _ in range(10):
        running = sweeps.start("run", "art.yaml", "--local")
        time.sleep(chance.uniform(0.5, 2.5))
        if running.poll() is None:
            os.kill(running.pid, signal.SIGKILL)
        running.wait(timeout=SECONDS)
    ended = sweeps("run", "art.yaml", "--local")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert sweeps.containers() == []
    done: set[str] = set()
    for event in sweeps.events():
        assert event["event"] != "start" or event["task"] not in done
        if event["event"] == "end" and event["status"] == "done":
            done.add(event["task"])
    assert sweeps("run", "art.yaml", "--local", "--out", "undisturbed").returncode == 0
    assert without_times(sweeps.rows()) == without_times(sweeps.rows("undisturbed"))
    assert [row["number"] for row in sweeps.rows()] == list(range(40))


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
