"""Judge an API's refusal to tell: that a thing could not be looked at is a warning, not an error."""

from __future__ import annotations

from ....cloud.apis import SERVICE_DISABLED, Answer
from ..results import Judged, error, warning


def judge_refusal(answer: Answer, what: str, permission: str, service: str, project_id: str) -> Judged:
    """The judgement of an answer that is neither what was asked for nor "not found"."""
    if answer.reason == SERVICE_DISABLED:
        return warning(
            f"{what} cannot be looked at: {service} is not enabled",
            f"gcloud services enable {service} --project={project_id}",
        )
    if answer.status in (401, 403):
        return warning(
            f"{what} cannot be looked at: {answer.message}",
            f"have somebody grant you {permission}, or check it by hand",
        )
    return error(f"{what} could not be looked at: {answer.message}", "try again a little later")
