"""Jobs as the text of golden files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from google.cloud import batch_v1

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.batch.job_names import LABEL_SERVER, LABEL_VERSION, SERVER


def readable(made: batch_v1.Job, for_sweeps: bool = False) -> str:
    """The job as JSON, without what changes with every line of the runner, or with every server."""
    text = batch_v1.Job.to_json(
        made, always_print_fields_with_no_presence=False, use_integers_for_enums=False, sort_keys=True, indent=2
    )
    runner = runner_archive.runner_archive(for_sweeps)
    fields = json.loads(text.replace(runner.object_name, "RUNNER.zip"))
    commands = fields["taskGroups"][0]["taskSpec"]["runnables"][0]["container"]["commands"]
    assert commands == runner_archive.command(for_sweeps)
    commands[1:4] = ["BOOTSTRAP", "VERSION", "SHA256"]
    for labels in (fields["labels"], fields["allocationPolicy"]["labels"]):
        labels[LABEL_VERSION] = "VERSION"
        assert labels[LABEL_SERVER] == SERVER
        labels[LABEL_SERVER] = "SERVER"
    return json.dumps(fields, sort_keys=True, indent=2) + "\n"


def compare_with_golden(path: Path, made: str) -> None:
    """Assert that a job is the one of a golden file, which UPDATE_GOLDEN=1 writes."""
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(made)
    assert made == path.read_text()
