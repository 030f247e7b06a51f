"""Mutated files, opened and planned as the commands do: a message or a plan, never another exception."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_file_mutated import GRIDS, ROWS, SEEDS, Mutation, folder, mutate, mutations

from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.sweep.combinations import count
from covalent_parallel_plugin.sweep.mistakes import SweepFileError
from covalent_parallel_plugin.sweep.opened_sweep import FileRequest, OpenedSweep, SavedInput
from covalent_parallel_plugin.sweep.plan import HoursBound, Planner, RunRequest
from covalent_parallel_plugin.sweep.plan_document import plan_document, plan_lines
from covalent_parallel_plugin.sweep.records.journal import State

__all__ = ["folder"]
# Above it, all goes as below it, and takes longer
PLANNED = 3000


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*SEEDS, GRIDS.encode(), ROWS.encode()]), mutations)
def test_a_mutated_file_gives_a_message_or_a_plan(folder: Path, seed: bytes, changes: list[Mutation]) -> None:
    data = seed
    for change in changes:
        data = mutate(data, change)
    (folder / "opened.yaml").write_bytes(data)
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    request = FileRequest(folder / "opened.yaml", out=folder / "out")
    try:
        opened = OpenedSweep.open(request, environment, SavedInput(lambda: b"a,b\n1,2\n"))
    except SweepFileError as error:
        assert error.mistakes and len(str(error).splitlines()) == len(error.mistakes)
        assert all(line.isprintable() for line in str(error).splitlines()), str(error)
        return
    assert all(warning.isprintable() for warning in opened.warnings), opened.warnings
    if count(opened.file.grids) > PLANNED:
        return
    try:
        tasks = opened.tasks_as_of(State())
    except ParallelError:  # an input that cannot be read
        return
    plan = Planner(opened.out, State(), RunRequest(), tasks.parts).plan(tasks)
    bound = HoursBound.of(opened.file, plan.to_run)
    document = plan_document(opened, tasks, plan, State(), bound, opened.warnings)
    assert json.loads(json.dumps(document))["tasks"] == plan.total == count(opened.file.grids)
    assert all(line.isprintable() for line in plan_lines(document, plan, bound))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff", b"a" * 11_000_000, b"- " * 200_000, b"{" * 1000])
def test_files_that_are_no_sweep(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    with pytest.raises(SweepFileError):
        OpenedSweep.open(FileRequest(path), {"HOME": str(tmp_path)}, SavedInput())
