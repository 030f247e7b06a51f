"""Planned Jobs as text: JSON for programs, YAML for people, a difference of two, and lines that say it in short."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from ...batch.job_json import to_json
from ...electron.modules.missing_packages import warning_text
from ...errors import without_passwords
from .lattice_nodes import SUBLATTICE, LatticeNode, by_executor, listed
from .outlook import PlanOutlook
from .planned_jobs import PlannedJob


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines, such as the bootstrap's source, as a block."""


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def job_fields(planned: PlannedJob, short: bool = False) -> dict[str, Any]:
    """The Job as its JSON has it; `short` folds text of several lines, which is the bootstrap's source."""
    made: dict[str, Any] = json.loads(to_json(planned.job))
    return _folded(made) if short else made


def single_job(planned: PlannedJob, form: str, short: bool) -> str:
    """One Job and nothing else, as "json" or "yaml"."""
    return FORMS[form](job_fields(planned, short))


def workflow(
    jobs: Sequence[PlannedJob], elsewhere: Sequence[LatticeNode], outlook: PlanOutlook, form: str, short: bool
) -> str:
    """All Jobs of a workflow, with the nodes each is for, and the nodes that run elsewhere.

    As "json" one object, with machine-hours; as "yaml" a document for each Job, with comments for what is not part of
    one.
    """
    if form == "json":
        described = [
            {
                "nodes": [_described(node) for node in planned.nodes],
                **outlook.fields([planned]),
                "job": job_fields(planned, short),
            }
            for planned in jobs
        ]
        others = [{**_described(node), "executor": node.executor} for node in elsewhere]
        unseen = [node for node in elsewhere if node.kind == SUBLATTICE]
        return _json({"jobs": described, "elsewhere": others, **outlook.fields(jobs, unseen)})
    documents = [f"# {_comment(listed(planned.nodes))}\n{single_job(planned, form, short)}" for planned in jobs]
    comments = [
        f"# {_comment(f'without a Job, on {executor}: {names}')}\n"
        for executor, names in by_executor(elsewhere).items()
    ]
    return "---\n".join(documents) + "".join(comments)


def differences(before: Sequence[PlannedJob], after: Sequence[PlannedJob], form: str) -> str:
    """A unified diff for each pair of Jobs that differ, equal pairs once; both sequences have the same nodes."""
    pairs: dict[tuple[str, str], list[tuple[PlannedJob, PlannedJob]]] = {}
    for old, new in zip(before, after, strict=True):
        pairs.setdefault((old.nodeless, new.nodeless), []).append((old, new))
    return "".join(_difference(same, form) for same in pairs.values())


def summary(planned: PlannedJob) -> list[str]:
    """What the Job asks for, in a few lines."""
    settings, group = planned.settings, planned.job.task_groups[0]
    task, policy = group.task_spec, planned.job.allocation_policy.instances[0].policy
    gpus = [f"{gpu.count} x {gpu.type_}" for gpu in policy.accelerators]
    drivers = ["GPU drivers"] if planned.job.allocation_policy.instances[0].install_gpu_drivers else []
    model = policy.provisioning_model.name + (f" (reservation {policy.reservation})" if policy.reservation else "")
    if settings.spot_fallback:
        model += ", then once more on STANDARD"
    machine = [policy.machine_type or "a machine of Batch's choice", *gpus, *drivers, model]
    places = ", ".join(place.partition("/")[2] for place in planned.job.allocation_policy.location.allowed_locations)
    resource = task.compute_resource
    seconds = f"{settings.time_limit:g} s and {settings.grace_seconds} s to report"
    hours = settings.max_machine_hours
    budget = [] if hours is None else [f"budget   {hours:g} machine-hours for all jobs of its dispatch together"]
    pip = [f"pip      {without_passwords(', '.join(settings.requirements))}"] if settings.requirements else []
    return [
        f"machine  {', '.join(machine)}; {policy.boot_disk.size_gb} GB boot disk; {places}",
        f"task     {resource.cpu_milli / 1000:g} vCPU, {resource.memory_mib:,} MiB, {seconds},"
        f" {task.max_retry_count} retries",
        f"tasks    {group.task_count:,}, {group.parallelism:,} at a time,"
        f" at most {group.task_count_per_node} of them on a machine",
        f"image    {task.runnables[0].container.image_uri}",
        *pip,
        *_modules(planned),
        *budget,
        *_cache(planned),
    ]


def _cache(planned: PlannedJob) -> list[str]:
    """That the job may not be made."""
    cache = planned.settings.cache
    if cache is False:
        return []
    age = "" if cache is True else f" that is at most {cache:g} s old"
    return [f"cache    no job is made where the cache has a value of an equal electron{age}"]


def _modules(planned: PlannedJob) -> list[str]:
    """The own modules that travel, and what nothing brings."""
    files = planned.modules
    names = sorted({file.name.partition("/")[0] for file in files})
    size = sum(file.size for file in files)
    own = [f"modules  {', '.join(names)}: {len(files):,} files, {size:,} bytes"] if files else []
    return [*own, *([f"warning  {warning_text(sorted(planned.missing))}"] if planned.missing else [])]


def _difference(pairs: Sequence[tuple[PlannedJob, PlannedJob]], form: str) -> str:
    old, new = (single_job(planned, form, short=True).splitlines(keepends=True) for planned in pairs[0])
    names = _comment(listed([node for _, planned in pairs for node in planned.nodes]) or "the Job")
    return "".join(difflib.unified_diff(old, new, f"{names}, before", f"{names}, after"))


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _yaml(value: object) -> str:
    # Lines are never broken, so that they can be searched for.
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=10**9))


FORMS: dict[str, Callable[[object], str]] = {"json": _json, "yaml": _yaml}


def _described(node: LatticeNode) -> dict[str, object]:
    return {"id": node.node_id, "name": node.name, "kind": node.kind}


def _comment(text: str) -> str:
    """Text that stays in its line."""
    return "".join(character if character.isprintable() else " " for character in text)


def _folded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _folded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_folded(entry) for entry in value]
    if isinstance(value, str) and "\n" in value:
        return f"... {value.count(chr(10)) + 1} lines, left out by --short ..."
    return value
