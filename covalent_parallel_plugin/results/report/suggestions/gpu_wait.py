"""Jobs that waited for machines because of a quota, or because Google had none: those with GPUs in the first place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ....batch.error_hints import CAPACITY, QUOTA, find_hint
from ....settings.gpu_zones import PAGE, gpu_of, regions_with, zones_with
from ..charts.words import duration
from ..model import WAITING, Electron, Report, Suggestion
from .grouping import by_request, has_gpus, is_on_chain
from .thresholds import Thresholds
from .wording import options, title_of

_QUOTA_NAME = re.compile(r"[Qq]uota '?([A-Z][A-Z0-9_]*)'?")
# Other regions that are named, at most
MOST_REGIONS = 3
_MORE_QUOTA = "# or more quota: console, IAM & Admin, Quotas"


def gpu_wait(report: Report, limits: Thresholds) -> Iterator[Suggestion]:
    """Suggest other zones or regions, or more quota."""
    for group in by_request(report):
        waiting = [each for each in group if each.machine_wait]
        electron = max(waiting, key=_waited, default=group[0])
        hint = find_hint(electron.machine_wait) if electron.machine_wait else None
        waited = _waited(electron)
        if hint is None or not hint.may_pass or waited < limits.machine_wait_seconds:
            continue
        is_gpu = has_gpus(electron)
        what = "a GPU" if is_gpu else "its machine"
        named = _QUOTA_NAME.search(electron.machine_wait) if hint.kind == QUOTA else None
        cause = f"Quota {named[1]} is used up" if named else hint.meaning[:1].upper() + hint.meaning[1:]
        place = f" in {electron.asked.region}" if electron.asked.region else ""
        known, remedy = _of_gpu(electron, hint.kind) if is_gpu else ("", "")
        yield Suggestion(
            "gpu-wait" if is_gpu else "machine-wait",
            f"{title_of(waiting)} waited {'up to ' if len(waiting) > 1 else ''}{duration(waited)} for {what}",
            f"{cause}{place}.{known}",
            remedy or _elsewhere(electron, hint.kind),
            duration(waited),
            seconds=waited if is_on_chain(report, electron) else 0.0,
            nodes=tuple(each.node for each in waiting),
        )


def _waited(electron: Electron) -> float:
    return max((attempt.seconds(WAITING) for attempt in electron.attempts), default=0.0)


def _of_gpu(electron: Electron, cause: str) -> tuple[str, str]:
    """Where the GPU is, or who knows that, and what to type to have it there; "" where that is not known."""
    asked = electron.asked
    gpu = asked.gpu_type or gpu_of(asked.machine_type)
    here = zones_with(gpu, asked.region)
    others = [region for region in regions_with(gpu) if region != asked.region]
    if not gpu or not (here or others):
        return f" Google's list of the zones that have GPUs: {PAGE}.", ""
    known = f" {asked.region} has {gpu} in {', '.join(here)}." if here else ""
    more = [zone for zone in here if zone not in asked.zones] if asked.zones else []
    if cause == CAPACITY and more:
        return known, options(electron, zones=here)
    if not others:
        return known, _MORE_QUOTA if cause == QUOTA else ""
    named = others[:MOST_REGIONS]
    where = "; ".join(f"{region}: {', '.join(zones_with(gpu, region))}" for region in named)
    # A quota of GPUs is a region's, whatever the zones: https://cloud.google.com/compute/resource-usage#gpu_quota
    remedy = options(electron, region=named[0], zones=list(zones_with(gpu, named[0])))
    return f"{known} Others have it too: {where}.", remedy + (f"  {_MORE_QUOTA}" if cause == QUOTA else "")


def _elsewhere(electron: Electron, cause: str) -> str:
    """What to do where the zones of a machine are not known."""
    if cause == QUOTA:
        return _MORE_QUOTA.replace("or more quota", "more quota, smaller machines or a smaller max_parallel")
    if electron.asked.zones:
        return "zones=[]  # all of the region's" if electron.asked.region else "zones=[]"
    return options(electron, provisioning="FLEX_START") if has_gpus(electron) else "# another machine_type or region"
