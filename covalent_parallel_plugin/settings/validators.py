"""What each kind of option accepts: a rule takes a value and returns it in its plain form, or raises ValueError.

The error's text follows "option = value" in a sentence, and ends with the remedy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ..protocol.environment import for_google
from ..protocol.value_text import shortened

Rule = Callable[[object], Any]

# https://cloud.google.com/batch/quotas: a job runs 14 days at most; a minute of it is the supervisor's
MAX_TIME_LIMIT_SECONDS = 14 * 24 * 3600 - 60
# A job waits two days at most in QUEUED (same page)
MAX_QUEUE_SECONDS = 2 * 24 * 3600
# google.cloud.batch_v1.TaskSpec.max_retry_count: [0, 10]
MAX_RETRIES = 10
# The supervisor ends the electron at `time_limit`; this much later Batch ends the supervisor
GRACE_SECONDS = 60
# And so much later where a checkpoint is unpacked before, and another one written at the end
CHECKPOINT_SECONDS = 240
# google.cloud.batch_v1.Job.priority: [0, 100)
MAX_PRIORITY = 99
# https://cloud.google.com/batch/quotas: parallel tasks per job
MAX_PARALLEL = 5000
# google.cloud.batch_v1.Job.labels: 64 in all; the package's own and Batch's take some
MAX_LABELS = 48
# Past this a float is not an exact whole number any more
LARGEST_NUMBER = 2**53
# Names of variables that the job itself sets
RESERVED_VARIABLES = ("COVALENT_PARALLEL_", "BATCH_")
# The labels that the package sets itself
OWN_LABEL_PREFIX = "covalent-"

# Where Covalent's own nodes may run
SERVICE_NODES = ("local", "batch")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]*[a-z0-9]")
# gs://, gcloud's resource names, and the addresses of Cloud Storage and of its console
_BUCKET_ADDRESS = re.compile(
    r"gs://|(?:https?:)?//storage\.(?:googleapis|cloud\.google)\.com/|projects/_/buckets/"
    r"|https://console\.cloud\.google\.com/storage/browser/"
)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
# Google's have no underscores; the replaced plugin's documentation does, and the emulator takes any
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
# https://cloud.google.com/iam/docs/service-account-types: the domain of all of them
_SERVICE_ACCOUNT = re.compile(r"[A-Za-z0-9._-]+@([A-Za-z0-9-]+\.)+gserviceaccount\.com")
# The grammar of https://github.com/distribution/reference: host and port, path, tag, digest
_IMAGE = re.compile(
    r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?/)?"
    r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?P<digest>@(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
MAX_IMAGE_CHARACTERS = 255
# Where a first part is not a host: an organization of Docker Hub's, which has no uppercase letters
_UPPERCASE_OWNER = re.compile(r"(?!.*[.:].*?/)[^/]*[A-Z][^/]*/")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# https://cloud.google.com/compute/docs/labeling-resources#requirements
MAX_LABEL_CHARACTERS = 63


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError(f"is a {type(value).__name__}: write it as text")
    return value


def number(above: float, most: float) -> Rule:
    """A rule for numbers greater than `above` and at most `most`; text that reads as one is taken as well."""

    def rule(value: object) -> float:
        result = _number(value)
        if not above < result <= most:
            raise ValueError(f"is out of range: use more than {above:g} and at most {most:.10g}")
        return int(result) if float(result).is_integer() else result

    rule.__doc__ = f"More than {above:g}, at most {most:.10g}."
    return rule


def whole_number(least: int, most: int | None = None) -> Rule:
    """A rule for whole numbers from `least` to `most`; text that reads as one is taken as well."""
    reach = f"{least} or more" if most is None else f"{least} to {most}"

    def rule(value: object) -> int:
        result = _number(value)
        if not float(result).is_integer():
            raise ValueError("is not a whole number: leave the fraction out")
        if result < least or (most is not None and result > most):
            raise ValueError(f"is out of range: use {reach}")
        return int(result)

    rule.__doc__ = f"Whole numbers, {reach}."
    return rule


def truth(value: object) -> bool:
    """True or False."""
    value = as_python(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError("is neither True nor False: use one of them")


def service_nodes(value: object) -> str:
    """`local` or `batch`."""
    if not isinstance(value, str) or value not in SERVICE_NODES:
        raise ValueError(f"is neither {' nor '.join(map(repr, SERVICE_NODES))}: use one of them")
    return value


def bucket_name(value: object) -> str:
    """A bucket's name, as https://cloud.google.com/storage/docs/buckets#naming has it."""
    name = readable_bucket_name(value)
    if name.startswith("goog") or "google" in name:
        raise ValueError("is a name that Google reserves: use one without 'goog'")
    return name


def readable_bucket_name(value: object) -> str:
    """The name of a bucket that is only read: also one of Google's own, such as its public data."""
    name = text(value)
    if address := _BUCKET_ADDRESS.match(name):
        raise ValueError(f"has a scheme: write {name[address.end() :].split('/', 1)[0]!r}")
    longest = 222 if "." in name else 63
    legal = (
        3 <= len(name) <= longest
        and _BUCKET.fullmatch(name)
        and not _ADDRESS.fullmatch(name)
        and ".." not in name
        and all(len(part) <= 63 for part in name.split("."))
    )
    if not legal:
        raise ValueError(
            "is not a legal bucket name: use 3 to 63 lowercase letters, digits, '-', '_' and '.', with a letter or"
            " digit at both ends"
        )
    return name


def project_id(value: object) -> str:
    """A project's id (or number)."""
    name = text(value)
    if not _PROJECT.fullmatch(name):
        command = for_google(" (gcloud projects list)")
        raise ValueError(f"is not a project id: use the id, not the name, such as my-project-123{command}")
    return name


def image_uri(value: object) -> str:
    """A container image."""
    name = text(value)
    if "://" in name:
        raise ValueError(f"has a scheme: write {name.split('://', 1)[1]!r}")
    if not _is_image(name):
        # All but a tag is written small.
        small = re.sub(r"^[^:@]*(?::[0-9]+/[^:@]*)?", lambda found: found[0].lower(), name.strip(), count=1)
        form = "a form such as python:3.11-slim or REGION-docker.pkg.dev/PROJECT/REPO/IMAGE:TAG"
        raise ValueError(f"is not an image: use {small!r}" if _is_image(small) else f"is not an image: use {form}")
    return name


def _is_image(name: str) -> bool:
    found = _IMAGE.fullmatch(name)
    if found is None or _UPPERCASE_OWNER.match(name) or re.fullmatch("[0-9a-f]{64}", name):
        return False
    return len(name) - sum(len(found[part] or "") for part in ("tag", "digest")) <= MAX_IMAGE_CHARACTERS


def service_account_email(value: object) -> str:
    """A service account's address."""
    name = text(value)
    if _SERVICE_ACCOUNT.fullmatch(name):
        return name
    # An IAM policy's member (serviceAccount:ADDRESS), or a resource's name (projects/-/serviceAccounts/ADDRESS)
    address = re.split(r"[:/]", name)[-1].strip()
    remedy = (
        repr(address) if _SERVICE_ACCOUNT.fullmatch(address) else "one such as NAME@PROJECT.iam.gserviceaccount.com"
    )
    raise ValueError(f"is not an e-mail address of a service account: use {remedy}")


def labels(value: object) -> dict[str, str]:
    """Labels, as Compute Engine has them: lowercase letters of any alphabet, digits, _ and -, no `goog` prefix."""
    result = mapping_of_text(value)
    problems = []
    for key, entry in result.items():
        if key.startswith(("goog-", "google-", OWN_LABEL_PREFIX)) or key in ("goog", "google"):
            problems.append(f"{key!r} has a prefix that is reserved")
        elif not _is_label_text(key) or not key[:1].isalpha():
            problems.append(
                f"the key {key!r} is not made of 1 to 63 lowercase letters, digits, _ and -, a letter first"
            )
        if not _is_label_text(entry):
            problems.append(f"the value {entry!r} is not made of at most 63 lowercase letters, digits, _ and -")
    if len(result) > MAX_LABELS:
        problems.append(f"{len(result)} are more than the {MAX_LABELS} allowed")
    if problems:
        raise ValueError(f"cannot be used: {'; '.join(problems)}: rename or leave them out")
    return result


def _is_label_text(entry: str) -> bool:
    """Whether these are lowercase letters (or of an alphabet without case), their marks, digits, _ and -."""
    return len(entry) <= MAX_LABEL_CHARACTERS and all(
        character in "_-" or (character == character.lower() and unicodedata.category(character)[0] in "LMN")
        for character in entry
    )


def environment(value: object) -> dict[str, str]:
    """Environment variables."""
    result = mapping_of_text(value)
    problems = [problem for key in result if (problem := variable_problem(key))]
    for key, entry in result.items():
        if "\0" in entry:
            problems.append(f"the value of {key!r} holds a NUL character")
        elif entry != entry.encode("utf-8", "replace").decode():
            problems.append(f"the value of {key!r} is not UTF-8")
    if problems:
        raise ValueError(f"cannot be used: {'; '.join(problems)}: rename or leave them out")
    return result


def variable_problem(name: str) -> str:
    """What keeps an environment variable from being set; "" if nothing does."""
    if name.startswith(RESERVED_VARIABLES):
        return f"{name!r} is set by the job itself"
    return "" if _VARIABLE.fullmatch(name) else f"{name!r} is not a name of a variable"


def mapping_of_text(value: object) -> dict[str, str]:
    """A mapping of text to text."""
    if not isinstance(value, Mapping):
        raise ValueError(f"is a {type(value).__name__}: use a mapping of text to text")
    wrong = [key for key, entry in value.items() if not isinstance(key, str) or not isinstance(entry, str)]
    if wrong:
        shown = shortened(wrong[0])
        raise ValueError(f"holds what is not text under {shown}: use text on both sides, such as {{'name': '1'}}")
    return dict(value)


def list_of_text(value: object) -> list[str]:
    """A list of text."""
    if isinstance(value, Mapping) or not isinstance(value, Collection):
        raise ValueError(f"is a {type(value).__name__}: use a list of text")
    entries = list(value)
    wrong = [entry for entry in entries if not isinstance(entry, str)]
    if wrong:
        raise ValueError(f"holds {shortened(wrong[0])}, which is not text: use a list of text")
    return entries


def plain_name(value: object, what: str, example: str) -> str:
    """A name as Google has them, of what stands in `what`."""
    name = text(value)
    if not _NAME.fullmatch(name):
        raise ValueError(f"is no {what}: use a name such as {example}")
    return name


def as_python(value: object) -> object:
    """A scalar of NumPy or PyTorch as Python's own; any other value as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def _number(value: object) -> float:
    value = as_python(value)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError("is not a number: write digits, such as 2") from None
    if isinstance(value, (Decimal, Fraction)):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"is a {type(value).__name__}: use a number")
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("is not a finite number: use one that is")
    if abs(value) > LARGEST_NUMBER:
        raise ValueError("is too large: use a smaller number")
    return value
