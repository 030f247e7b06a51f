"""The examples of a sweep, each in containers of its own image, which has nothing of this package."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.containers

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "sweep"]
SECONDS = 300


def sweep(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL
    )


def rows(out: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((out / "results.json").read_text())
    return loaded


def in_place_of(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def built(engine: str, image: str, names: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Build an example's image, as its own Dockerfile says."""
    made: dict[str, str] = {}

    def build(example: str) -> str:
        if example not in made:
            made[example] = names(example.replace("_", "-"))
            words = [engine, "build", "--network=host", "--tag", made[example], str(EXAMPLES / example)]
            ended = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
            assert ended.returncode == 0, ended.stderr
        return made[example]

    yield build


@pytest.fixture
def art(built: Callable[[str], str], tmp_path: Path) -> Path:
    """The pixel art's file, with one combination that its program refuses."""
    text = (EXAMPLES / "pixel_art" / "sweep.yaml").read_text()
    changes = (("localhost/art:1", built("pixel_art")), ("g: 10, i: {start: 1, stop: 10}", f"g: 10, i: {BROKEN}"))
    path = tmp_path / "sweep.yaml"
    path.write_text(in_place_of(text, *changes))
    return path


BROKEN = "[1, 2, 3, 4, five, 6, 7, 8, 9]"


def most_at_once(found: list[dict[str, Any]]) -> int:
    edges = [(row["task.started"], 1) for row in found] + [(row["task.ended"], -1) for row in found]
    running = most = 0
    for _, change in sorted(edges):
        running += change
        most = max(most, running)
    return most


def containers(engine: str) -> set[str]:
    listed = subprocess.run(
        [engine, "ps", "--all", "--quiet", "--filter=label=covalent-parallel-sweep"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(listed.stdout.split())


def test_pi_has_a_column_for_what_it_prints(built: Callable[[str], str], tmp_path: Path) -> None:
    text = (EXAMPLES / "pi" / "sweep.yaml").read_text()
    (tmp_path / "pi.yaml").write_text(in_place_of(text, ("localhost/pi:1", built("pi"))))
    ended = sweep("run", "pi.yaml", "--local", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = rows(tmp_path / "pi")
    assert [(row["iterations"], row["seed"]) for row in found] == [
        (count, seed) for count in (1000, 10000, 100000) for seed in (1, 2, 3)
    ]
    assert all(row["task.status"] == "done" and abs(row["pi_hat"] - 3.14) < 0.3 for row in found)
    with (tmp_path / "pi" / "results.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [float(row["pi_hat"]) for row in table] == [row["pi_hat"] for row in found]
    assert list(table[0]) == [
        "task.index", "task.name", "iterations", "seed", "task.status", "task.exit", "task.signal", "task.seconds",
        "task.attempts", "task.peak_mb", "task.machine", "task.started", "task.ended", "task.folder", "pi_hat",
    ]  # fmt: skip


COMBINATIONS = [(x, y) for x in (1, 2.5, -3) for y in (2, 10)]


@pytest.mark.parametrize(("file", "name"), [("sweep.yaml", "calculator"), ("objects.yaml", "calculator-objects")])
def test_the_calculators_results_are_columns(built: Callable[[str], str], tmp_path: Path, file: str, name: str) -> None:
    text = (EXAMPLES / "calculator" / file).read_text()
    (tmp_path / file).write_text(in_place_of(text, ("localhost/calculator:1", built("calculator"))))
    ended = sweep("run", file, "--local", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [(row["x"], row["y"], row["sum"], row["product"]) for row in rows(tmp_path / name)] == [
        (x, y, x + y, x * y) for x, y in COMBINATIONS
    ]


def test_pixel_art_runs_again_what_failed_and_then_what_was_edited(art: Path, engine: str, tmp_path: Path) -> None:
    before = containers(engine)
    ended = sweep("run", art, "--local", cwd=tmp_path)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    out = tmp_path / "art"
    found = rows(out)
    assert [row["task.name"] for row in found] == [f"size{g}" for g in range(1, 10)] + [
        f"invaders{i}" for i in (1, 2, 3, 4, "five", 6, 7, 8, 9)
    ]
    by_name = {row["task.name"]: row for row in found}
    failed = by_name.pop("invadersfive")
    assert (failed["task.status"], failed["task.exit"]) == ("failed", 2)
    assert "invalid int value: 'five'" in (out / "invadersfive" / "stderr.txt").read_text()
    assert {row["task.status"] for row in by_name.values()} == {"done"}
    assert by_name["size3"]["pixels"] == 3 * (3 * 30) ** 2
    for name in by_name:
        pictures = sorted((out / name / "files").glob("*.png"))
        assert [path.name for path in pictures] == ["art-000.png", "art-001.png", "art-002.png"]
        assert {path.stat().st_uid for path in pictures} == {os.geteuid()}
        assert "picture 3 of 3" in (out / name / "stdout.txt").read_text()
    assert most_at_once(found) <= 4
    assert containers(engine) == before

    again = sweep("run", art, "--local", cwd=tmp_path)
    assert again.returncode == 1
    starts = [event for event in journal(out) if event["event"] == "start"]
    assert [event["task"] for event in starts[18:]] == ["invadersfive"]

    art.write_text(
        in_place_of(art.read_text(), ("five", "5"), ("{start: 1, stop: 10}, i: 30", "{start: 1, stop: 5}, i: 20"))
    )
    planned = json.loads(sweep("plan", art, "--format", "json", cwd=tmp_path).stdout)
    ended = sweep("run", art, "--local", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    started = [event["task"] for event in journal(out) if event["event"] == "start"][19:]
    assert sorted(started) == ["invaders5", "size1", "size2", "size3", "size4"]
    assert str(planned).count("size") and len(rows(out)) == 13


def journal(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


TIMES = ("task.seconds", "task.started", "task.ended", "task.peak_mb")
KILLS = 10


def without_times(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in found]


def test_runs_that_are_killed_end_as_one_that_was_left_alone_and_leave_no_container(
    built: Callable[[str], str], engine: str, tmp_path: Path
) -> None:
    (tmp_path / "pi.yaml").write_text(
        f"image: {built('pi')}\nflags: true\nparameters:\n  iterations: 100000\n  seed: {{start: 0, stop: 40}}\n"
        "result: {stdout: 'pi_hat = (?P<pi_hat>\\S+)'}\nresources: {vcpus: 1, memory: 128}\nmax_parallel: 4\n"
    )
    before = containers(engine)
    assert sweep("run", "pi.yaml", "--local", "--out", "undisturbed", cwd=tmp_path).returncode == 0
    out = tmp_path / "killed"
    draw = random.Random(1)
    for _ in range(KILLS):
        running = subprocess.Popen(
            [*COMMAND, "run", "pi.yaml", "--local", "--out", "killed"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            running.wait(timeout=draw.uniform(0.5, 3.5))
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait(timeout=60)
    ended = sweep("run", "pi.yaml", "--local", "--out", "killed", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert containers(engine) == before
    assert without_times(rows(out)) == without_times(rows(tmp_path / "undisturbed"))
    done: set[str] = set()
    for event in journal(out):
        assert event["event"] != "start" or event["task"] not in done
        if event["event"] == "end" and event["status"] == "done":
            done.add(event["task"])
    assert len(done) == 40
