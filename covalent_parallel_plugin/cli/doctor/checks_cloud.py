"""The checks of the project and the bucket: what is asked of Google, and which judgement it goes to."""

from __future__ import annotations

import asyncio
import difflib
import os
import secrets

from ...cloud.apis import Answer, GoogleApis, part
from ...cloud.batch import BatchApi, connect
from ...dispatch.call import PREFIX
from ...errors import CloudError
from .check_runner import Check, Facts
from .checks import bucket, project
from .checks_here import CREDENTIALS
from .results import Judged
from .setup import Case

LIST_SECONDS = 8.0
# No job has it, so that the list is short
NO_JOB = 'labels."covalent-dispatch"="doctor"'


def apis(facts: Facts) -> GoogleApis:
    """The APIs, from the facts of the check of the credentials."""
    found: GoogleApis = facts[CREDENTIALS][0]
    return found


def member(facts: Facts) -> str:
    """Who asks, as commands that grant roles name them."""
    return str(facts[CREDENTIALS][1].member)


def cloud_checks(case: Case) -> list[Check]:
    """The checks of the project, of Batch in its region, and of the bucket."""
    return [*_project(case), *_bucket(case)]


def _project(case: Case) -> list[Check]:
    settings = case.settings
    name = settings.project_id

    def exists(facts: Facts) -> Judged:
        answer = apis(facts).get(f"https://{project.RESOURCES}/v3/projects/{part(name)}")
        listing = _listing(settings.parent) if answer.status in (403, 404) else None
        return project.judge_project(answer, name, listing)

    def enabled(facts: Facts) -> Judged:
        uses_secrets = bool(settings.secrets or settings.registry_password)
        needed = project.needed_apis(settings.container_image_uri, uses_secrets)
        query = [("names", f"projects/{name}/services/{service}") for service in needed]
        answer = apis(facts).get(f"https://{project.USAGE}/v1/projects/{part(name)}/services:batchGet", query)
        return project.judge_apis(answer, needed, name)

    def region(facts: Facts) -> Judged:
        base = f"https://{project.BATCH}/v1/projects/{part(name)}/locations"
        answer = apis(facts).get(f"{base}/{part(settings.region)}")
        near: list[str] = []
        if not answer.is_ok:
            listed = apis(facts).get(base)
            known = [str(location.get("locationId", "")) for location in listed.content.get("locations", ())]
            near = difflib.get_close_matches(settings.region, known, n=3)
        return project.judge_region(answer, settings.region, near)

    return [
        Check(
            "project.exists",
            exists,
            "the project of `project_id` is there, active, and this account may see it",
            "set `project_id` to one of `gcloud projects list`",
            facts_of=(CREDENTIALS,),
            options=("project_id",),
        ),
        Check(
            "project.apis",
            enabled,
            "the APIs that the jobs need are enabled: Batch, Cloud Storage, Logging, Compute Engine; Artifact Registry"
            " for an image there, Secret Manager with secrets",
            "`gcloud services enable ...`",
            needs=("project.exists",),
            facts_of=(CREDENTIALS,),
            options=("project_id",),
        ),
        Check(
            "region.known",
            region,
            "Batch has the region of `region`",
            "set `region`",
            needs=("project.exists",),
            facts_of=(CREDENTIALS,),
            options=("project_id", "region"),
            service=project.BATCH,
        ),
        Check(
            "batch.usable",
            lambda facts: project.judge_batch(_listing(settings.parent), name, settings.region, member(facts)),
            "Batch answers over gRPC, and lets this account see the project's jobs",
            "have somebody grant you `roles/batch.jobsEditor`",
            needs=("project.exists", "region.known"),
            facts_of=(CREDENTIALS,),
            options=("project_id", "region"),
            service=project.BATCH,
        ),
    ]


def _bucket(case: Case) -> list[Check]:
    settings = case.settings
    name = settings.bucket_name
    address = f"https://{project.STORAGE}/storage/v1/b/{part(name)}"
    exists = "bucket.exists"

    def permissions(facts: Facts) -> Judged:
        query = [("permissions", permission) for permission in bucket.NEEDED]
        answer = apis(facts).get(f"{address}/iam/testPermissions", query)
        return bucket.judge_permissions(answer, name, settings.project_id, member(facts))

    def writable(facts: Facts) -> Judged:
        google = apis(facts)
        probe, content = f"{PREFIX}/doctor-{secrets.token_hex(8)}", secrets.token_bytes(16)
        steps: dict[str, Answer] = {}
        query = [("uploadType", "media"), ("name", probe), ("ifGenerationMatch", "0")]
        upload = f"https://{project.STORAGE}/upload/storage/v1/b/{part(name)}/o"
        steps["write"] = google.ask("POST", upload, query, content)
        came_back = False
        if steps["write"].is_ok:
            steps["read"] = google.get(f"{address}/o/{part(probe)}", [("alt", "media")])
            came_back = steps["read"].body == content
            steps["delete"] = google.ask("DELETE", f"{address}/o/{part(probe)}")
        return bucket.judge_probe(steps, name, probe, came_back, member(facts))

    return [
        Check(
            exists,
            lambda facts: bucket.judge_bucket(apis(facts).get(address), name, settings),
            "the bucket of `bucket_name` is there",
            "`gcloud storage buckets create ...`",
            facts_of=(CREDENTIALS,),
            options=("bucket_name",),
        ),
        Check(
            "bucket.permissions",
            permissions,
            "this account may write, read, delete and list objects there",
            "grant it `roles/storage.objectUser` on the bucket",
            needs=(exists,),
            facts_of=(CREDENTIALS,),
            options=("bucket_name",),
        ),
        Check(
            "bucket.writable",
            writable,
            f"a small object below `{PREFIX}/` can be written, read and deleted: it is done",
            "grant this account `roles/storage.objectUser` on the bucket; a retention policy must not hold objects",
            needs=(exists,),
            facts_of=(CREDENTIALS,),
            options=("bucket_name",),
        ),
        Check(
            "bucket.location",
            lambda facts: bucket.judge_location(facts[exists], name, settings.region),
            "the bucket is where the jobs run: in `region`, or in a multi-region that holds it",
            "use a bucket in `region`",
            facts_of=(exists,),
            options=("bucket_name", "region"),
        ),
        Check(
            "bucket.access",
            lambda facts: bucket.judge_access(facts[exists], name),
            "uniform access is on, and public access is prevented",
            "`gcloud storage buckets update ...`",
            facts_of=(exists,),
            options=("bucket_name",),
        ),
        Check(
            "bucket.lifecycle",
            lambda facts: bucket.judge_lifecycle(facts[exists], name, settings),
            f"a lifecycle rule deletes what a crash leaves below `{PREFIX}/`, and not before electrons have run",
            "set a rule of seven days: the command is printed, with the rules that are there",
            facts_of=(exists,),
            options=("bucket_name",),
        ),
    ]


def _listing(parent: str) -> CloudError | None:
    """What Batch says to a list of jobs; None if it gives one."""

    async def ask() -> None:
        batch = BatchApi(connect(os.environ.get("BATCH_EMULATOR_HOST", "")), LIST_SECONDS)
        try:
            await batch.list(parent, NO_JOB)
        finally:
            await batch.close()

    try:
        asyncio.run(ask())
    except CloudError as problem:
        return problem
    return None
