"""Judge the service account that the machines run as, and the secrets that they read."""

from __future__ import annotations

from collections.abc import Mapping

from ....cloud.apis import Answer
from ..results import Judged, error, ok
from .google_apis import judge_refusal
from .project import IAM, SECRETS

ACT_AS = "iam.serviceAccounts.actAs"


def default_account(project_number: str) -> str:
    """The account that Compute Engine gives machines for which none is named."""
    return f"{project_number}-compute@developer.gserviceaccount.com"


def judge_account(answer: Answer, email: str, is_default: bool, project_id: str) -> Judged:
    """Whether the account exists and is enabled."""
    if answer.status == 404:
        if is_default:
            return error(
                f"the project has no default service account for Compute Engine ({email})",
                "set service_account_email to one of: gcloud iam service-accounts list"
                f" --project={project_id} (or run `covalent-parallel deploy up`, which makes one)",
            )
        return error(
            f"there is no service account {email}",
            f"set service_account_email to one of: gcloud iam service-accounts list --project={project_id}",
        )
    if not answer.is_ok:
        return judge_refusal(answer, f"the service account {email}", "iam.serviceAccounts.get", IAM, project_id)
    if answer.content.get("disabled"):
        return error(
            f"the service account {email} is disabled",
            f"gcloud iam service-accounts enable {email} --project={project_id}",
        )
    return ok(f"{email}{' (the default)' if is_default else ''}")


def judge_act_as(answer: Answer, email: str, project_id: str, member: str) -> Judged:
    """Batch refuses a job whose caller may not act as its service account."""
    if not answer.is_ok:
        return judge_refusal(answer, f"whether you may act as {email}", "iam.serviceAccounts.get", IAM, project_id)
    if ACT_AS in answer.content.get("permissions", ()):
        return ok(f"this account may act as {email}")
    return error(
        f"this account may not act as {email}: Batch would refuse the job",
        f"gcloud iam service-accounts add-iam-policy-binding {email} --project={project_id} --member={member}"
        " --role=roles/iam.serviceAccountUser",
    )


def judge_secrets(answers: Mapping[str, Answer], project_id: str) -> Judged:
    """`answers` by the version's name."""
    problems, remedies = [], []
    refused = None
    for name, answer in answers.items():
        secret, _, version = name.partition("/versions/")
        bare = secret.rpartition("/")[2]
        state = str(answer.content.get("state", "ENABLED"))
        if answer.status == 404:
            problems.append(f"{name} does not exist")
            remedies.append(f"printf %s VALUE | gcloud secrets create {bare} --data-file=- --project={project_id}")
        elif not answer.is_ok:
            refused = refused or answer
        elif state != "ENABLED":
            problems.append(f"{name} is {state}")
            remedies.append(f"gcloud secrets versions enable {version} --secret={bare} --project={project_id}")
    if problems:
        return error("; ".join(problems), " && ".join(remedies))
    if refused is not None:
        return judge_refusal(refused, "a secret", "roles/secretmanager.viewer", SECRETS, project_id)
    return ok(", ".join(answers))
