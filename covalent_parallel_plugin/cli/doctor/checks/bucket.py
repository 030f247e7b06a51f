"""Judge the bucket: there, near the jobs, writable, closed to the public, and emptied by itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ....cloud.apis import Answer
from ....dispatch.call import PREFIX
from ....settings import Settings
from ..results import Judged, error, ok, warning
from .google_apis import judge_refusal
from .project import STORAGE

# What the dispatcher does with objects: "IAM permissions for JSON methods" in Cloud Storage's documentation
NEEDED = ("storage.objects.create", "storage.objects.get", "storage.objects.delete", "storage.objects.list")
ROLE = "roles/storage.objectUser"
LIFECYCLE_DAYS = 7
SECONDS_PER_DAY = 86400
# https://cloud.google.com/storage/docs/locations: what the wide locations hold
MULTI_REGIONS = {"US": ("us-",), "EU": ("europe-",), "ASIA": ("asia-",)}
DUAL_REGIONS: Mapping[str, Sequence[str]] = {
    "NAM4": ("us-central1", "us-east1"),
    "EUR4": ("europe-north1", "europe-west4"),
    "EUR5": ("europe-west1", "europe-west2"),
    "EUR7": ("europe-west2", "europe-west3"),
    "EUR8": ("europe-west3", "europe-west6"),
    "ASIA1": ("asia-northeast1", "asia-northeast2"),
}


def judge_bucket(answer: Answer, name: str, settings: Settings) -> Judged:
    """The facts are its metadata."""
    if answer.is_ok:
        return ok(f"gs://{name}", facts=answer.content)
    if answer.status == 404:
        return error(
            f"the bucket {name!r} does not exist",
            f"gcloud storage buckets create gs://{name} --project={settings.project_id} --location={settings.region}"
            " --uniform-bucket-level-access --public-access-prevention",
        )
    return judge_refusal(answer, f"the set-up of gs://{name}", "storage.buckets.get", STORAGE, settings.project_id)


def judge_permissions(answer: Answer, name: str, project_id: str, member: str) -> Judged:
    """What the caller may do with the bucket's objects."""
    if answer.status == 404:
        return error(f"the bucket {name!r} does not exist", "see bucket.exists")
    if not answer.is_ok:
        return judge_refusal(answer, f"the rights on gs://{name}", ROLE, STORAGE, project_id)
    granted = answer.content.get("permissions", ())
    missing = [permission for permission in NEEDED if permission not in granted]
    if missing:
        return error(f"this account lacks {', '.join(missing)} on gs://{name}", _grant(name, member))
    return ok(f"{len(NEEDED)} of {len(NEEDED)} that are needed")


def judge_probe(steps: Mapping[str, Answer], name: str, probe: str, came_back: bool, member: str) -> Judged:
    """`steps` are the answers to "write", "read" and "delete" of a small object, as far as it got."""
    for step, answer in steps.items():
        if not answer.is_ok:
            left = f"; gs://{name}/{probe} is left there" if step != "write" else ""
            remedy = _grant(name, member) if answer.status in (401, 403) else "try again a little later"
            return error(f"could not {step} gs://{name}/{probe}: {answer.message.rstrip('.')}{left}", remedy)
    if not came_back:
        return error(
            f"gs://{name}/{probe} came back with other content than was written", "see what stands before the bucket"
        )
    return ok(f"an object below gs://{name}/{PREFIX}/ was written, read and deleted")


def judge_volumes(answers: Mapping[str, Answer], project_id: str) -> Judged:
    """`answers` to a list of one object, by the bucket's name."""
    missing = [name for name, answer in answers.items() if answer.status == 404]
    if missing:
        return error(
            f"{'this bucket of a volume does' if len(missing) == 1 else 'these buckets of volumes do'} not exist:"
            f" {', '.join(missing)}",
            f"set volumes to buckets that are there: gcloud storage buckets list --project={project_id}",
        )
    for name, answer in answers.items():
        if not answer.is_ok:
            return judge_refusal(answer, f"the volume gs://{name}", "roles/storage.objectViewer", STORAGE, project_id)
    return ok(", ".join(f"gs://{name}" for name in answers))


def judge_location(bucket: Mapping[str, Any], name: str, region: str) -> Judged:
    """Where the bucket is, against where the jobs run: every byte between two regions costs time and money."""
    location = str(bucket.get("location", "")).upper()
    placement = bucket.get("customPlacementConfig") or {}
    placed: Sequence[str] = placement.get("dataLocations") or DUAL_REGIONS.get(location) or ()
    is_near = (
        location == region.upper()
        or region.startswith(MULTI_REGIONS.get(location, ("no region",)))
        or region.upper() in [place.upper() for place in placed]
    )
    if is_near:
        return ok(f"{location}, and the jobs run in {region}")
    return warning(
        f"gs://{name} is in {location} and the jobs run in {region}: what travels between them is slow and costs more",
        f"set region to {location.lower()!r}, or bucket_name to a bucket in {region}: gcloud storage buckets create"
        f" gs://{name}-{region} --location={region}",
    )


def judge_access(bucket: Mapping[str, Any], name: str) -> Judged:
    """Objects hold the users' data and code: nobody outside should come near them."""
    access = bucket.get("iamConfiguration") or {}
    is_uniform = bool((access.get("uniformBucketLevelAccess") or {}).get("enabled"))
    is_closed = access.get("publicAccessPrevention") == "enforced"
    if is_uniform and is_closed:
        return ok("uniform, and public access is prevented")
    open_ways, flags = [], []
    if not is_uniform:
        open_ways.append("access is not uniform: objects may have rules of their own")
        flags.append("--uniform-bucket-level-access")
    if not is_closed:
        open_ways.append("public access is not prevented")
        flags.append("--public-access-prevention")
    return warning("; ".join(open_ways), f"gcloud storage buckets update gs://{name} {' '.join(flags)}")


def judge_lifecycle(bucket: Mapping[str, Any], name: str, settings: Settings) -> Judged:
    """A rule deletes what a crash leaves behind; one that is too quick deletes calls that still wait."""
    rules = (bucket.get("lifecycle") or {}).get("rule") or []
    ages = [age for rule in rules if (age := _deletes_after_days(rule)) is not None]
    if not ages:
        return warning(
            f"no rule deletes what a crash leaves below gs://{name}/{PREFIX}/",
            _lifecycle_command(name, rules),
        )
    longest = settings.queue_limit + settings.time_limit * (settings.retries + 1)
    if min(ages) * SECONDS_PER_DAY < longest:
        return warning(
            f"a rule deletes objects after {min(ages)} days, and an electron may wait and run for"
            f" {longest / SECONDS_PER_DAY:.1f} days (queue_limit, time_limit, retries)",
            "lengthen the rule, or lower queue_limit, time_limit or retries",
        )
    return ok(f"what is left below {PREFIX}/ is deleted after {min(ages)} days")


def _deletes_after_days(rule: Mapping[str, Any]) -> int | None:
    """The age at which a rule deletes the plugin's objects; None if it does not."""
    condition = rule.get("condition") or {}
    prefixes = condition.get("matchesPrefix") or []
    others = set(condition) - {"age", "matchesPrefix", "isLive"}
    if (rule.get("action") or {}).get("type") != "Delete" or "age" not in condition or others:
        return None
    if prefixes and not any(f"{PREFIX}/".startswith(prefix) for prefix in prefixes):
        return None
    return int(condition["age"])


def _lifecycle_command(name: str, rules: Sequence[Any]) -> str:
    condition = {"age": LIFECYCLE_DAYS, "matchesPrefix": [f"{PREFIX}/"]}
    rule = {"action": {"type": "Delete"}, "condition": condition}
    content = json.dumps({"rule": [*rules, rule]})
    return (
        f"echo {shlex.quote(content)} > lifecycle.json && gcloud storage buckets update gs://{name}"
        " --lifecycle-file=lifecycle.json"
    )


def _grant(name: str, member: str) -> str:
    return f"gcloud storage buckets add-iam-policy-binding gs://{name} --member={member} --role={ROLE}"
