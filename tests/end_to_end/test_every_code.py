"""Every gRPC code once on each call to Batch, every HTTP status once on each request, of an electron and of a map.

An odd answer, as a proxy gives one, loses nothing that was computed, and leaves no job and no object behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from faulty_electrons import double, seven
from faulty_runs import Case, Ran, run_cases

from covalent_parallel_plugin.emulator import Emulator, Fault, ProcessRuntime
from covalent_parallel_plugin.emulator.faults.target_names import STATUS_CODES
from covalent_parallel_plugin.errors import CloudError, MissingResourceError, PermissionDeniedError

BUCKET = "odd"
# Plain refusals of what asks for the work: believed at once, since nothing was computed
REFUSED = {
    "INVALID_ARGUMENT": CloudError,
    "NOT_FOUND": MissingResourceError,
    "PERMISSION_DENIED": PermissionDeniedError,
    400: CloudError,
    401: PermissionDeniedError,
    403: PermissionDeniedError,
}
STATUSES = sorted({status.value for status in HTTPStatus if status >= 400} | {499, 599})
# Of a map's many requests those of one task are struck
MAP_STATUSES = (401, 403, 404, 410, 412, 429, 500, 501, 503, 599)
# A fault at the first request of a kind, and at a later one
SKIPPED = (0, 1, 3)
ONE = Case(seven)
MAP = Case(double, options={"max_parallel": 2}, value=[0, 2, 4], items=range(3))


def batch_cases(case: Case) -> dict[str, Case]:
    found = {}
    for code in STATUS_CODES:
        word = code.lower().replace("_", "-")
        for skip in SKIPPED:
            found[f"get-{word}-{skip}"] = struck(case, "rpc.error", method="GetJob", code=code, skip=skip)
        refused = REFUSED.get(code)
        ended = case if refused is None else replace(case, error=refused, jobs=[])
        found[f"create-{word}"] = struck(ended, "rpc.error", method="CreateJob", code=code)
        found[f"created-{word}"] = struck(case, "rpc.lost", method="CreateJob", code=code)
    return found


def storage_cases(case: Case, request: str, statuses: Sequence[int]) -> dict[str, Case]:
    found = {}
    for code in statuses:
        for what in ("call", "outcome-0"):
            is_refused = (request, what) == ("insert", "call") and code in REFUSED
            ended = replace(case, error=REFUSED[code], jobs=[]) if is_refused else case
            fields = {"request": f"objects.{request}", "object": f"*/{what}", "code": code}
            found[f"{request}-{what}-{code}"] = struck(ended, "storage.error", **fields)
    return found


def struck(case: Case, kind: str, **fields: object) -> Case:
    """The case with one fault, once."""
    return replace(case, faults=[Fault(kind, first=1, **fields)])  # type: ignore[arg-type]  # one of several types


# As many at once as two cores bring to their end
GROUPS = {
    "one-batch": batch_cases(ONE),
    "map-batch": batch_cases(MAP),
    **{f"one-{request}": storage_cases(ONE, request, STATUSES) for request in ("download", "insert", "delete")},
    **{f"map-{request}": storage_cases(MAP, request, MAP_STATUSES) for request in ("download", "insert", "delete")},
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(buckets=(BUCKET,), runtime=ProcessRuntime(site_packages=True), tasks_at_once=4) as running:
        yield running


@pytest.mark.parametrize("group", GROUPS)
def test_an_odd_answer_loses_nothing_and_leaves_nothing(emulator: Emulator, tmp_path: Path, group: str) -> None:
    cases = {
        # In a project of its own: many jobs of one project are looked at with one list
        f"{group}-{name}": replace(case, options={**case.options, "project_id": f"{group}-{name}"})
        for name, case in GROUPS[group].items()
    }
    ran = run_cases(emulator, BUCKET, cases, tmp_path)
    assert {name: wrong for name, case in cases.items() if (wrong := defects(case, ran[name]))} == {}


def defects(case: Case, found: Ran) -> list[str]:
    """What came of a call that should not have."""
    ending = (found.value, type(found.error)) if found.error is not None else (found.value, None)
    wrong = []
    if ending != ((case.value, None) if case.error is None else (None, case.error)):
        wrong.append(f"{ending}: {found.text}")
    if found.objects:
        wrong.append(f"left {found.objects}")
    if [job.state for job in found.jobs] != list(case.jobs):
        wrong.append(f"its jobs are {found.jobs}")
    return wrong
