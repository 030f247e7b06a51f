"""Check the bucket: there, near the jobs, writable, closed to the public, and emptied by itself."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ....cloud.rest_client import RestResponse, part
from ....cloud.storage import deletes_after_days
from ....protocol.object_names import PREFIX
from ..check_runner import Facts, check
from ..results import CheckResult, error, ok, warning
from ..setup import Setup
from .google_apis import CREDENTIALS, STORAGE, api_denied, apis, member

EXISTS = "bucket.exists"
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


@check(
    EXISTS,
    "the bucket of `bucket_name` is there",
    "`gcloud storage buckets create ...`",
    facts_of=(CREDENTIALS,),
    options=("bucket_name",),
)
def exists(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are its metadata."""
    settings, name = setup.settings, setup.settings.bucket_name
    answer = apis(facts).get(_address(name))
    if answer.is_ok:
        return ok(f"gs://{name}", facts=answer.content)
    if answer.status == 404:
        return error(
            f"the bucket {name!r} does not exist",
            f"gcloud storage buckets create gs://{name} --project={settings.project_id} --location={settings.region}"
            " --uniform-bucket-level-access --public-access-prevention",
        )
    return api_denied(answer, f"the set-up of gs://{name}", "storage.buckets.get", STORAGE, settings.project_id)


@check(
    "bucket.permissions",
    "this account may write, read, delete and list objects there",
    "grant it `roles/storage.objectUser` on the bucket",
    needs=(EXISTS,),
    facts_of=(CREDENTIALS,),
    options=("bucket_name",),
)
def permissions(setup: Setup, facts: Facts) -> CheckResult:
    name = setup.settings.bucket_name
    query = [("permissions", permission) for permission in NEEDED]
    answer = apis(facts).get(f"{_address(name)}/iam/testPermissions", query)
    if answer.status == 404:
        return error(f"the bucket {name!r} does not exist", "see bucket.exists")
    if not answer.is_ok:
        return api_denied(answer, f"the rights on gs://{name}", ROLE, STORAGE, setup.settings.project_id)
    granted = answer.content.get("permissions", ())
    missing = [permission for permission in NEEDED if permission not in granted]
    if missing:
        return error(f"this account lacks {', '.join(missing)} on gs://{name}", _grant(name, facts))
    return ok(f"{len(NEEDED)} of {len(NEEDED)} that are needed")


@check(
    "bucket.writable",
    f"a small object below `{PREFIX}/` can be written, read and deleted: it is done",
    "grant this account `roles/storage.objectUser` on the bucket; a retention policy must not hold objects",
    needs=(EXISTS,),
    facts_of=(CREDENTIALS,),
    options=("bucket_name",),
)
def writable(setup: Setup, facts: Facts) -> CheckResult:
    google, name = apis(facts), setup.settings.bucket_name
    probe, content = f"{PREFIX}/doctor-{secrets.token_hex(8)}", secrets.token_bytes(16)
    upload = f"https://{STORAGE}/upload/storage/v1/b/{part(name)}/o"
    query = [("uploadType", "media"), ("name", probe), ("ifGenerationMatch", "0")]
    steps: dict[str, RestResponse] = {"write": google.request("POST", upload, query, content)}
    if steps["write"].is_ok:
        steps["read"] = google.get(f"{_address(name)}/o/{part(probe)}", [("alt", "media")])
        steps["delete"] = google.request("DELETE", f"{_address(name)}/o/{part(probe)}")
    for step, answer in steps.items():
        if not answer.is_ok:
            left = f"; gs://{name}/{probe} is left there" if step != "write" else ""
            remedy = _grant(name, facts) if answer.status in (401, 403) else "try again a little later"
            return error(f"could not {step} gs://{name}/{probe}: {answer.message.rstrip('.')}{left}", remedy)
    if steps["read"].body != content:
        return error(
            f"gs://{name}/{probe} came back with other content than was written", "see what stands before the bucket"
        )
    return ok(f"an object below gs://{name}/{PREFIX}/ was written, read and deleted")


@check(
    "bucket.location",
    "the bucket is where the jobs run: in `region`, or in a multi-region that holds it",
    "use a bucket in `region`",
    facts_of=(EXISTS,),
    options=("bucket_name", "region"),
)
def location(setup: Setup, facts: Facts) -> CheckResult:
    """Every byte between two regions costs time and money."""
    bucket, name, region = facts[EXISTS], setup.settings.bucket_name, setup.settings.region
    place = str(bucket.get("location", "")).upper()
    placement = bucket.get("customPlacementConfig") or {}
    regions: Sequence[str] = placement.get("dataLocations") or DUAL_REGIONS.get(place) or ()
    is_near = (
        place == region.upper()
        or region.startswith(MULTI_REGIONS.get(place, ("no region",)))
        or region.upper() in [each.upper() for each in regions]
    )
    if is_near:
        return ok(f"{place}, and the jobs run in {region}")
    return warning(
        f"gs://{name} is in {place} and the jobs run in {region}: what travels between them is slow and costs more",
        f"set region to {place.lower()!r}, or bucket_name to a bucket in {region}: gcloud storage buckets create"
        f" gs://{name}-{region} --location={region}",
    )


@check(
    "bucket.access",
    "uniform access is on, and public access is prevented",
    "`gcloud storage buckets update ...`",
    facts_of=(EXISTS,),
    options=("bucket_name",),
)
def access(setup: Setup, facts: Facts) -> CheckResult:
    """Objects hold the users' data and code: nobody outside may reach them."""
    iam = facts[EXISTS].get("iamConfiguration") or {}
    openings, flags = [], []
    if not (iam.get("uniformBucketLevelAccess") or {}).get("enabled"):
        openings.append("access is not uniform: objects may have rules of their own")
        flags.append("--uniform-bucket-level-access")
    if iam.get("publicAccessPrevention") != "enforced":
        openings.append("public access is not prevented")
        flags.append("--public-access-prevention")
    if not openings:
        return ok("uniform, and public access is prevented")
    update = f"gcloud storage buckets update gs://{setup.settings.bucket_name}"
    return warning("; ".join(openings), f"{update} {' '.join(flags)}")


@check(
    "bucket.lifecycle",
    f"a lifecycle rule deletes what a crash leaves below `{PREFIX}/`, and not before electrons have run",
    "set a rule of seven days: the command is printed, with the rules that are there",
    facts_of=(EXISTS,),
    options=("bucket_name",),
)
def lifecycle(setup: Setup, facts: Facts) -> CheckResult:
    """A rule that is too quick deletes calls that still wait."""
    settings, name = setup.settings, setup.settings.bucket_name
    rules = (facts[EXISTS].get("lifecycle") or {}).get("rule") or []
    ages = [age for rule in rules if (age := deletes_after_days(rule, f"{PREFIX}/")) is not None]
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


def _address(name: str) -> str:
    return f"https://{STORAGE}/storage/v1/b/{part(name)}"


def _lifecycle_command(name: str, rules: Sequence[Any]) -> str:
    condition = {"age": LIFECYCLE_DAYS, "matchesPrefix": [f"{PREFIX}/"]}
    rule = {"action": {"type": "Delete"}, "condition": condition}
    content = json.dumps({"rule": [*rules, rule]})
    return (
        f"echo {shlex.quote(content)} > lifecycle.json && gcloud storage buckets update gs://{name}"
        " --lifecycle-file=lifecycle.json"
    )


def _grant(name: str, facts: Facts) -> str:
    return f"gcloud storage buckets add-iam-policy-binding gs://{name} --member={member(facts)} --role={ROLE}"
