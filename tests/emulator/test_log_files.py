"""The files that a task's output goes to where its job's logs have a path."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator.batch.validate_job import validate_create_job
from covalent_parallel_plugin.emulator.execution.log_files import TaskLogFiles
from covalent_parallel_plugin.emulator.model.errors import RpcError

TASK = "job-uid-group0-0"
PREFIX = (
    r"\[batch_task_logs]\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (INFO|ERROR): \[task_id:task/job-uid-group0-0/1/0,runnable_index"
)


def test_each_stream_has_a_file_and_both_have_one(tmp_path: Path) -> None:
    files = TaskLogFiles(tmp_path, TASK, 1)
    files.write(0, "INFO", "out")
    files.write(3, "ERROR", "err ü")
    files.close()
    read = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert sorted(read) == [f"{name}-{TASK}.log" for name in ("output", "stderr", "stdout")]
    assert re.fullmatch(rf"{PREFIX}:0] out\n", read[f"stdout-{TASK}.log"])
    assert re.fullmatch(rf"{PREFIX}:3] err ü\n", read[f"stderr-{TASK}.log"])
    assert read[f"output-{TASK}.log"] == read[f"stdout-{TASK}.log"] + read[f"stderr-{TASK}.log"]


def test_a_further_attempt_goes_on_with_the_files_of_the_first(tmp_path: Path) -> None:
    for attempt in (0, 1):
        files = TaskLogFiles(tmp_path, TASK, attempt)
        files.write(0, "INFO", "out")
        files.close()
    assert re.findall(r"/(\d)/0,", (tmp_path / f"stdout-{TASK}.log").read_text()) == ["0", "1"]


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    (tmp_path / f"stdout-{TASK}.log").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError):
        TaskLogFiles(tmp_path, TASK, 0)
    assert (tmp_path / "mine").read_text() == ""


@pytest.mark.parametrize("path", ["", "logs/", "gs://bucket/logs", "/mnt/disks/scratch/../../../etc"])
def test_a_path_that_is_none_of_the_vm_is_refused(path: str) -> None:
    script = batch_v1.Runnable(script={"text": "true"})
    job = batch_v1.Job(
        task_groups=[{"task_spec": {"runnables": [script]}}],
        logs_policy={"destination": "PATH", "logs_path": path},
    )
    with pytest.raises(RpcError, match=r"logs_path .* must be an absolute path"):
        validate_create_job(batch_v1.CreateJobRequest(parent="projects/p/locations/us-east1", job=job))


def test_a_text_that_is_no_utf8_is_written_all_the_same(tmp_path: Path) -> None:
    files = TaskLogFiles(tmp_path, TASK, 0)
    files.write(0, "ERROR", "kept \udcff")
    files.close()
    assert (tmp_path / f"stderr-{TASK}.log").read_text().endswith("] kept ?\n")
