"""Judge the image: reachable, for Batch's machines, and with versions that fit."""

from __future__ import annotations

from ....cloud.registry.image_reference import parse
from ....errors import CloudError, MissingResourceError, PermissionDeniedError
from ...image.check import ERROR, OK, WARNING, Report
from ..results import Judged, error, ok, skipped, warning

BUILD = "covalent-parallel image build --push --tag"


def judge_reference(uri: str, has_stand_in: bool) -> Judged | None:
    """What can be said without asking a registry; None if it has to be asked.

    A stand-in runs tasks as processes, or in images that an engine of this machine has.
    """
    try:
        reference = parse(uri)
    except ValueError as problem:
        return error(str(problem), "set container_image_uri")
    if has_stand_in and not (reference.is_local and ":" in reference.host):
        return skipped(f"the stand-in asks no registry for {uri}")
    return None


def judge_unreachable(problem: CloudError, uri: str) -> Judged:
    """A private registry of one's own may let the machines in and not this one."""
    if isinstance(problem, PermissionDeniedError) and not parse(uri).is_google:
        return warning(str(problem), "see that registry_username and registry_password name a user who may pull it")
    if isinstance(problem, (MissingResourceError, PermissionDeniedError)):
        return error(str(problem), f"set container_image_uri to an image that is there, or: {BUILD} {uri}")
    return warning(str(problem), "see that the name is right; the machines may reach what this one cannot")


def judge_report(report: Report) -> Judged:
    """What `covalent-parallel image check` finds, as one judgement."""
    worst = next(
        (level for level in (ERROR, WARNING) if any(finding.level == level for finding in report.findings)), OK
    )
    if worst == OK:
        return ok(", ".join(f"{finding.what} {finding.text}" for finding in report.findings if finding.level == OK))
    bad = [finding for finding in report.findings if finding.level == worst]
    judge = error if worst == ERROR else warning
    return judge(
        "; ".join(f"{finding.what}: {finding.text}" for finding in bad),
        "; ".join(finding.remedy for finding in bad),
    )
