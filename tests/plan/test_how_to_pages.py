"""The guides of docs/how-to: each workflow that they show is planned, so that its options are ones that Batch takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from planner import Planner

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LATTICE = re.compile(r"^@ct\.lattice\ndef workflow\((.*)\):", re.MULTILINE)
# Every workflow of every guide, by the guide's name and its place there
WORKFLOWS = {
    f"{path.stem}-{number}": block
    for path in sorted(GUIDES.glob("*.md"))
    # Its cells dispatch; it is run as a page
    if path.stem != "notebooks"
    for number, block in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
    if LATTICE.search(block)
}
# In the jobs of these, what the guide is about
SHOWN = {
    "data-2": {"volumes": "my-data/measurements"},
    "gpus-0": {"accelerators": "nvidia-tesla-t4", "installGpuDrivers": "True", "memoryMib": "14336"},
    "secrets-0": {"secretVariables": "projects/my-project/secrets/my-token/versions/latest"},
    "private-registries-0": {"username": "my-user", "password": "ghcr-token"},
    "spot-and-checkpoints-0": {"provisioningModel": "SPOT"},
    "cost-0": {"maxRunDuration": "6"},
}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_workflow_of_a_guide_is_planned_as_it_stands(plan: Planner, name: str) -> None:
    page = GUIDES / f"{name.rpartition('-')[0]}.md"
    for path, text in FILE.findall(page.read_text(encoding="utf-8")):
        plan.write(path, text)
    plan.write("workflow.py", WORKFLOWS[name])
    found = LATTICE.search(WORKFLOWS[name])
    assert found is not None
    arguments = [word for parameter in re.findall(r"\w+", found[1]) for word in ("--arg", f"{parameter}=3")]
    planned = plan("workflow.py:workflow", *arguments, "--format", "json")
    assert planned.jobs, planned.stdout
    for field, value in SHOWN.get(name, {}).items():
        (text,) = re.findall(rf"'{field}': (.*)", repr(planned.jobs))[:1]
        assert value in text


def test_guides_that_are_about_the_jobs_of_a_workflow_show_one() -> None:
    assert SHOWN.keys() <= WORKFLOWS.keys()
