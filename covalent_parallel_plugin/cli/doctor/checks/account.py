"""Check what a job's machines are given: a service account, secrets, volumes."""

from __future__ import annotations

from ....cloud.rest_client import part
from ....settings import container_rules
from ..check_runner import Facts, check
from ..results import CheckResult, error, ok
from ..setup import Setup
from .google_apis import CREDENTIALS, IAM, PROJECT, SECRETS, STORAGE, api_denied, apis, member

ACCOUNT = "service_account.exists"
ACCOUNTS = f"https://{IAM}/v1/projects/-/serviceAccounts"
ACT_AS = "iam.serviceAccounts.actAs"


@check(
    ACCOUNT,
    "the service account of the machines is there and enabled (`service_account_email`; empty: Compute Engine's"
    " default)",
    "set `service_account_email`, or enable the account",
    needs=(PROJECT,),
    facts_of=(CREDENTIALS,),
    options=("project_id", "service_account_email"),
)
def exists(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are its address."""
    project_id, named, number = setup.settings.project_id, setup.settings.service_account_email, facts[PROJECT]
    if not named and number is None:
        return ok("the default of Compute Engine, whose name is not known without the project's number")
    # The account that Compute Engine gives machines for which none is named
    email = named or f"{number}-compute@developer.gserviceaccount.com"
    answer = apis(facts).get(f"{ACCOUNTS}/{part(email)}")
    if answer.status == 404:
        choose = f"set service_account_email to one of: gcloud iam service-accounts list --project={project_id}"
        if named:
            return error(f"there is no service account {email}", choose)
        return error(
            f"the project has no default service account for Compute Engine ({email})",
            f"{choose} (or run `covalent-parallel deploy up`, which makes one)",
        )
    if not answer.is_ok:
        return api_denied(answer, f"the service account {email}", "iam.serviceAccounts.get", IAM, project_id)
    if answer.content.get("disabled"):
        return error(
            f"the service account {email} is disabled",
            f"gcloud iam service-accounts enable {email} --project={project_id}",
        )
    return ok(f"{email}{'' if named else ' (the default)'}", facts=email)


@check(
    "service_account.usable",
    f"this account may act as it (`{ACT_AS}`): Batch refuses the job otherwise",
    "grant this account `roles/iam.serviceAccountUser` on it",
    needs=(PROJECT,),
    facts_of=(CREDENTIALS, ACCOUNT),
    options=("service_account_email",),
)
def usable(setup: Setup, facts: Facts) -> CheckResult:
    email, project_id = facts[ACCOUNT], setup.settings.project_id
    body = {"permissions": [ACT_AS]}
    answer = apis(facts).request("POST", f"{ACCOUNTS}/{part(email)}:testIamPermissions", body=body)
    if not answer.is_ok:
        return api_denied(answer, f"whether you may act as {email}", "iam.serviceAccounts.get", IAM, project_id)
    if ACT_AS in answer.content.get("permissions", ()):
        return ok(f"this account may act as {email}")
    return error(
        f"this account may not act as {email}: Batch would refuse the job",
        f"gcloud iam service-accounts add-iam-policy-binding {email} --project={project_id} --member={member(facts)}"
        " --role=roles/iam.serviceAccountUser",
    )


@check(
    "secrets.known",
    "the secrets of `secrets` and `registry_password` are there, their versions enabled",
    "`gcloud secrets create ...`",
    needs=(PROJECT,),
    facts_of=(CREDENTIALS,),
    options=("project_id", "secrets", "registry_password"),
    service=SECRETS,
)
def secrets(setup: Setup, facts: Facts) -> CheckResult:
    settings, project_id = setup.settings, setup.settings.project_id
    wanted = [*settings.secrets.values(), *([settings.registry_password] if settings.registry_password else [])]
    names = sorted({container_rules.secret_version(secret, project_id) for secret in wanted})
    if not names:
        return ok("none are named")
    answers = {name: apis(facts).get(f"https://{SECRETS}/v1/{name}") for name in names}
    problems, remedies = [], []
    for name, answer in answers.items():
        secret, _, version = name.partition("/versions/")
        bare, state = secret.rpartition("/")[2], str(answer.content.get("state", "ENABLED"))
        if answer.status == 404:
            problems.append(f"{name} does not exist")
            remedies.append(f"printf %s VALUE | gcloud secrets create {bare} --data-file=- --project={project_id}")
        elif answer.is_ok and state != "ENABLED":
            problems.append(f"{name} is {state}")
            remedies.append(f"gcloud secrets versions enable {version} --secret={bare} --project={project_id}")
    if problems:
        return error("; ".join(problems), " && ".join(remedies))
    for answer in answers.values():
        if not answer.is_ok:
            return api_denied(answer, "a secret", "roles/secretmanager.viewer", SECRETS, project_id)
    return ok(", ".join(answers))


@check(
    "volumes.known",
    "the buckets of `volumes` are there, and this account may list them (NFS exports are not looked at)",
    "set `volumes` to buckets that are there",
    facts_of=(CREDENTIALS,),
    options=("volumes",),
)
def volumes(setup: Setup, facts: Facts) -> CheckResult:
    project_id = setup.settings.project_id
    buckets = sorted({volume.host for volume in setup.settings.mounted_volumes if volume.kind == "gs"})
    if not buckets:
        return ok("none are named")
    listed = f"https://{STORAGE}/storage/v1/b"
    answers = {name: apis(facts).get(f"{listed}/{part(name)}/o", [("maxResults", "1")]) for name in buckets}
    missing = [name for name, answer in answers.items() if answer.status == 404]
    if missing:
        return error(
            f"{'this bucket of a volume does' if len(missing) == 1 else 'these buckets of volumes do'} not exist:"
            f" {', '.join(missing)}",
            f"set volumes to buckets that are there: gcloud storage buckets list --project={project_id}",
        )
    for name, answer in answers.items():
        if not answer.is_ok:
            return api_denied(answer, f"the volume gs://{name}", "roles/storage.objectViewer", STORAGE, project_id)
    return ok(", ".join(f"gs://{name}" for name in answers))
