"""What a plan says of machine-hours and dollars: at most, and as an earlier dispatch has used them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from planner import Planner

from covalent_parallel_plugin.batch.trace import TraceFile
from covalent_parallel_plugin.results.report.prices import PriceRow, write_prices

WORKFLOW = """
import covalent as ct
from covalent_parallel_plugin import pmap

here = {"project_id": "my-project", "bucket_name": "some-bucket"}
large = ct.executor.GCPBatchExecutor(
    **here, machine_type="n2-standard-96", vcpus=48, memory=180000, spot=True, spot_fallback=True, max_parallel=3
)

@ct.electron(executor=ct.executor.GCPBatchExecutor(**here, retries=0, time_limit=3540))
def prepare():
    return 1

@pmap(executor=large)
def train(x):
    return x

@ct.electron(executor="gcpbatch")
@ct.lattice(executor="gcpbatch", workflow_executor="local")
def inner(x):
    return prepare()

@ct.lattice(executor="gcpbatch", workflow_executor="local")
def flow():
    prepare(), prepare(), inner(1)
    return train(list(range(40)))
"""
# Of 2026-11-10, in seconds since 1970
THEN = 1794268800.0


def write_trace(folder: Path) -> None:
    """A dispatch whose map of 20 items held two machines for 60 s each."""
    trace = TraceFile(folder, "d-1")
    names = ("entered", "staged", "submitted", "scheduled", "running", "began", "fetched", "installed", "ran_from")
    times = {
        **{name: THEN + seconds for seconds, name in enumerate(names)},
        **dict.fromkeys(("ran_to", "delivered", "ended", "collected"), THEN + 64),
    }
    asked = {"vcpus": 1, "memory_mib": 512, "machine_type": None, "spot": True, "image": "x"}
    job = "projects/p/locations/us-east1/jobs/j"
    trace.write("submitted", 5, name="train", job=job, round=0, tasks=2, items=20, asked=asked, t=times)
    for task in range(2):
        machine = {"type": "n2-standard-8", "zone": "us-east1-b", "instance": f"i-{task}", "spot": True}
        trace.write("attempt", 5, round=0, task=task, attempt=0, end="value", exit_code=0, t=times, machine=machine)
    trace.write("ended", 5, verdict="value", error=None, message=None, t={"entered": THEN, "ended": THEN + 64})


def plan_json(plan: Planner, *more: str) -> tuple[dict[str, Any], str]:
    ended = plan.alone("flow.py:flow", "--short", "--format", "json", *more)
    assert ended.status == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


def test_a_plan_has_a_bound_and_an_expectation_in_hours_and_in_dollars_where_there_are_prices(plan: Planner) -> None:
    plan.write("flow.py", WORKFLOW)
    data = plan.home / ".local" / "share" / "covalent-parallel"
    document, said = plan_json(plan)
    assert "  at most  2 machine-hours (2 electrons x 1 task x 3600 s), no price\n" in said
    # Three machines' tasks on two of them: in each of 4 jobs, and in one more on standard machines
    assert "  at most  4 machine-hours (5 jobs x 3 tasks x 360 s x 4 attempts, 2 on a machine), no price\n" in said
    assert "\nall Jobs: at most 6 machine-hours, no price; not in it: the electrons of inner (sublattice) [node" in said
    assert [job["at_most"]["machine_hours"] for job in document["jobs"]] == [2.0, 4.0]
    assert document["at_most"]["dollars"] is None
    assert len(document["at_most"]["unknown_nodes"]) == 1
    assert "expected" not in document

    # Nobody asks such prices: 96 vCPUs at 3 for 3.2 hours of Spot machines, and at 7 for 0.8
    write_prices(data / "prices.json", [PriceRow("n2", "", 7.0, 3.0, "2026-09-28", "us")])
    write_trace(data / "traces")
    document, said = plan_json(plan, "--like", "d-1")
    assert document["jobs"][1]["at_most"] == {
        "machine_hours": 4.0,
        "dollars": 1459.2,
        "prices": [{"date": "2026-09-28", "source": "us"}],
        "unknown_nodes": [],
    }
    assert document["at_most"]["dollars"] is None
    assert "for 4 of 6 machine-hours; no price for machines of a type that is not known, us-east1;" in said
    # 40 items in place of 20, on the machines that the plan names
    expected = document["jobs"][1]["expected"]
    assert (expected["like"], expected["machine_hours"]) == ("d-1", 0.066667)
    assert abs(expected["dollars"] - 240 / 3600 * 96 * 3) < 1e-3
    assert re.search(
        r"\n  expected 0.0667 machine-hours \(40 items x 6 s\), about \$19.20 \(prices of 2026-09-28, us\)", said
    )
    assert "expected nothing in d-1 has this name and ran" in said
    assert re.search(
        r"\nexpected, as in d-1: .*; not in d-1: prepare \[nodes 0, 1\]; not in it: the electrons of", said
    )
    assert document["expected"]["machine_hours"] == 0.066667
    assert len(document["expected"]["unknown_nodes"]) == 3


def test_an_earlier_dispatch_without_a_trace_is_one_error_that_names_the_file(plan: Planner) -> None:
    plan.write("flow.py", WORKFLOW)
    ended = plan.alone("flow.py:flow", "--like", "d-2")
    assert (ended.status, ended.stdout) == (1, "")
    trace = plan.home / ".local" / "share" / "covalent-parallel" / "traces" / "d-2.jsonl"
    assert f"--like 'd-2': no attempt of an electron in {trace}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert plan("--like", "d-1").status == 2
