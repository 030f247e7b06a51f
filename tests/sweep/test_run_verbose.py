"""`sweep run -v`: each task's folder as it begins on this machine, each job's addresses on Batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batch_sweeps import FakeMachines, on_emulator, write_file
from local_runs import sweep_file
from sweep_command import SweepCommand

from covalent_parallel_plugin.sweep.batch.run_on_batch import round_lines

PLACE = {"project_id": "p", "region": "us-east1", "bucket_name": "b"}
JOB = "projects/p/locations/us-east1/jobs/covalent-sweep-art-0-1"


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeMachines]]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


@pytest.mark.parametrize("more", [(), ("--follow",)])
def test_each_tasks_folder_is_named_as_it_begins(tmp_path: Path, more: tuple[str, ...]) -> None:
    sweep = SweepCommand(tmp_path)
    sweep.write("name: art\ncommand: echo {i}\nparameters: {i: [1, 2]}\nmax_parallel: 1\n")
    assert "begins" not in sweep("run", "art.yaml", "--local", "--out", "plain", *more).stdout
    lines = sweep("run", "art.yaml", "--local", "-v", *more).stdout.splitlines()
    begun = [f"i={i}: begins in {tmp_path}/art/i={i}" for i in (1, 2)]
    assert [line for line in lines if "begins" in line] == begun
    half = next(line for line in lines if line.startswith("art: 50%: 1 done, 0 running, 0 failed, 1 waiting, elapsed "))
    assert lines.index(half) < lines.index(begun[1])


def test_on_batch_each_job_and_its_prefix_are_named_once(
    tmp_path: Path, on_machines: Callable[..., FakeMachines]
) -> None:
    on_machines()
    sweep = SweepCommand(tmp_path)
    write_file(tmp_path)
    out = sweep("run", "art.yaml", "--verbose").stdout
    [event] = sweep.events("round")
    folder = f"covalent-sweeps/art/{sweep.events('open')[0]['id']}"
    named = [line for line in out.splitlines() if line.startswith("round ")]
    assert named == [f"round 0: {event['job']}", f"round 0: gs://covalent/{folder}/round-0/"]
    assert "console.cloud.google.com" not in out and "begins" not in out


def test_what_an_earlier_run_has_left_is_named_too(tmp_path: Path, on_machines: Callable[..., FakeMachines]) -> None:
    machines = on_machines()
    sweep = SweepCommand(tmp_path)
    write_file(tmp_path)
    assert "round 0: gs://covalent/" in sweep("run", "art.yaml", "--detach", "-v").stdout
    machines.wait_for_jobs()


def test_googles_console_has_a_page_for_each_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCH_EMULATOR_HOST", raising=False)
    settings = sweep_file(options=PLACE).settings
    page = "https://console.cloud.google.com/batch/jobsDetail/regions/us-east1/jobs/covalent-sweep-art-0-1/details?project=p"
    assert list(round_lines(settings, "covalent-sweeps/art/0", 1, JOB, {})) == [
        f"round 1: {page}",
        "round 1: gs://b/covalent-sweeps/art/0/round-1/",
    ]
