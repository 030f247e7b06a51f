"""The checks of what a job's machines are given: an image, a service account, secrets, volumes."""

from __future__ import annotations

import sys

from ... import resources
from ...cloud.apis import part
from ...cloud.registry.client import inspect
from ...errors import CloudError
from ..image.check import compare
from ..image.inspect_image import Look, declared
from ..image.versions import versions_here
from .check_runner import Check, Facts
from .checks import account, bucket, image, project
from .checks_cloud import apis, member
from .checks_here import CREDENTIALS
from .results import Judged, ok
from .setup import Case

IMAGE, ACCOUNT = "image.reachable", "service_account.exists"
IMAGE_SECONDS = 45.0
REGISTRY_SECONDS = 8.0


def job_checks(case: Case) -> list[Check]:
    """All of them."""
    return [*_image(case), *_accounts(case)]


def _image(case: Case) -> list[Check]:
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    uri = case.settings.container_image_uri or f"python:{minor}-slim"

    def reachable(facts: Facts) -> Judged:
        judged = image.judge_reference(uri, bool(case.stand_ins))
        if judged is not None:
            return judged
        try:
            config = inspect(uri, REGISTRY_SECONDS)
        except CloudError as problem:
            return image.judge_unreachable(problem, uri)
        size = f"{config.size_bytes / 1e6:.0f} MB"
        return ok(f"{uri}, {size}", facts=Look(config, declared(config), "registry"))

    def inside(facts: Facts) -> Judged:
        return image.judge_report(compare(facts[IMAGE], versions_here()))

    return [
        Check(
            IMAGE,
            reachable,
            "the registry has the image of `container_image_uri` (empty: python:X.Y-slim of this Python); the stand-in"
            " asks none",
            "name one that is there, or build it: `covalent-parallel image build`",
            options=("container_image_uri",),
            seconds=IMAGE_SECONDS,
        ),
        Check(
            "image.versions",
            inside,
            "the image is for linux/amd64 and has this Python's minor version, as it says itself, and this package's"
            " and Covalent's versions where it has them",
            "build it anew: `covalent-parallel image build`",
            facts_of=(IMAGE,),
        ),
    ]


def _accounts(case: Case) -> list[Check]:
    settings = case.settings
    base = f"https://{project.IAM}/v1/projects/-/serviceAccounts"
    named = settings.service_account_email

    def email(facts: Facts) -> str:
        return named or account.default_account(str(facts["project.exists"]))

    def exists(facts: Facts) -> Judged:
        if not named and facts["project.exists"] is None:
            return ok("the default of Compute Engine, whose name cannot be told without the project's number")
        answer = apis(facts).get(f"{base}/{part(email(facts))}")
        judged = account.judge_account(answer, email(facts), not named, settings.project_id)
        return ok(judged.found, facts=email(facts)) if judged.status == "ok" else judged

    def act_as(facts: Facts) -> Judged:
        body = {"permissions": [account.ACT_AS]}
        answer = apis(facts).ask("POST", f"{base}/{part(email(facts))}:testIamPermissions", body=body)
        return account.judge_act_as(answer, email(facts), settings.project_id, member(facts))

    def volumes(facts: Facts) -> Judged:
        buckets = sorted({volume.host for volume in settings.mounted_volumes if volume.kind == "gs"})
        if not buckets:
            return ok("none are named")
        listed = f"https://{project.STORAGE}/storage/v1/b"
        answers = {name: apis(facts).get(f"{listed}/{part(name)}/o", [("maxResults", "1")]) for name in buckets}
        return bucket.judge_volumes(answers, settings.project_id)

    def known_secrets(facts: Facts) -> Judged:
        wanted = [*settings.secrets.values(), *([settings.registry_password] if settings.registry_password else [])]
        names = sorted({resources.secret_version(secret, settings.project_id) for secret in wanted})
        if not names:
            return ok("none are named")
        answers = {name: apis(facts).get(f"https://{project.SECRETS}/v1/{name}") for name in names}
        return account.judge_secrets(answers, settings.project_id)

    return [
        Check(
            ACCOUNT,
            exists,
            "the service account of the machines is there and enabled (`service_account_email`; empty: Compute"
            " Engine's default)",
            "set `service_account_email`, or enable the account",
            needs=("project.exists",),
            facts_of=(CREDENTIALS,),
            options=("project_id", "service_account_email"),
        ),
        Check(
            "service_account.usable",
            act_as,
            "this account may act as it (`iam.serviceAccounts.actAs`): Batch refuses the job otherwise",
            "grant this account `roles/iam.serviceAccountUser` on it",
            needs=("project.exists",),
            facts_of=(CREDENTIALS, ACCOUNT),
            options=("service_account_email",),
        ),
        Check(
            "secrets.known",
            known_secrets,
            "the secrets of `secrets` and `registry_password` are there, their versions enabled",
            "`gcloud secrets create ...`",
            needs=("project.exists",),
            facts_of=(CREDENTIALS,),
            options=("project_id", "secrets", "registry_password"),
            service=project.SECRETS,
        ),
        Check(
            "volumes.known",
            volumes,
            "the buckets of `volumes` are there, and this account may list them (NFS exports are not looked at)",
            "set `volumes` to buckets that are there",
            facts_of=(CREDENTIALS,),
            options=("volumes",),
        ),
    ]
