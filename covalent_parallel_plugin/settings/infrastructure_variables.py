"""What can be chosen of the infrastructure: the variables of `assets/infra/variables.tf`, with the executor's rules.

The same rules stand in the Terraform files, for those who use these without this package; here a mistake is named
before Terraform is started.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import DeployMistakeError
from ..protocol.environment import for_google
from ..protocol.value_text import shortened
from . import machine_rules, nearest, validators
from .validators import Rule

# Variables that have an option of their own on the command line
OWN_OPTIONS = {"project_id": "--project", "name": "--name", "region": "--region", "image": "--image"}

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")
_MEMBER = re.compile(r"(user|group|serviceAccount):[^@\s]+@[^@\s]+\.[^@\s]+|principal(Set)?://\S+")
_SECRET = re.compile(r"(projects/[a-z0-9.:-]+/secrets/)?[A-Za-z0-9_-]{1,255}")
_IMAGE = re.compile(r"[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")


@dataclass(frozen=True)
class Variable:
    """One variable: its Terraform type, its default, the rule its values follow, and a line of help."""

    name: str
    type: str
    default: object
    rule: Rule
    help: str


def real_project_id(value: object) -> str:
    """A project's id as Google gives them; an option may also name one of the emulator's, with underscores."""
    name = validators.project_id(value)
    if "_" in name:
        command = for_google(" (gcloud projects list)")
        raise ValueError(f"is not a project id: Google's have no underscores{command}")
    return name


def deployment_name(value: object) -> str:
    """What names begin with; 20 long, so that a service account's id (30 at most) has room for more."""
    name = validators.text(value)
    if not _NAME.fullmatch(name):
        raise ValueError("is not a name: use 1 to 20 of a-z, 0-9 and -, a letter first and no - last")
    return name


def _soft_delete_days(value: object) -> int:
    """https://cloud.google.com/storage/docs/soft-delete: none, or 7 to 90 days."""
    days: int = validators.whole_number(least=0, most=90)(value)
    if 0 < days < 7:
        raise ValueError("is out of range: use 0, or 7 to 90")
    return days


def _members(value: object) -> list[str]:
    """Principals, as https://cloud.google.com/iam/docs/principal-identifiers writes them."""
    names = _list(value)
    wrong = [name for name in names if not _MEMBER.fullmatch(name)]
    if wrong:
        raise ValueError(f"holds {shortened(wrong[0])}: use user:ADDRESS, group:ADDRESS or serviceAccount:ADDRESS")
    return names


def _secrets(value: object) -> list[str]:
    """Secrets without a version."""
    names = _list(value)
    wrong = [name for name in names if not _SECRET.fullmatch(name)]
    if wrong:
        raise ValueError(
            f"holds {shortened(wrong[0])}: use SECRET or projects/PROJECT/secrets/SECRET, without a version"
        )
    return names


def _range(value: object) -> str:
    """A range of IPv4 addresses; https://cloud.google.com/vpc/docs/subnets: /29 is the smallest."""
    text = validators.text(value)
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        raise ValueError("is not a range of IPv4 addresses: use one such as 10.10.0.0/20") from None
    if "/" not in text or not 8 <= network.prefixlen <= 29:
        raise ValueError("is out of range: use /8 to /29, such as 10.10.0.0/20")
    return text


def _image(value: object) -> str:
    """An image's name in the repository, with its tag."""
    name = validators.text(value)
    if not _IMAGE.fullmatch(name):
        raise ValueError(
            "is not an image: use NAME or NAME:TAG, without the repository, such as covalent-parallel:latest"
        )
    return name


def _list(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError("is not a list of text: write A,B or a list in JSON")
    return value


_EACH = (
    Variable("project_id", "string", "", real_project_id, "Google Cloud project that runs and pays"),
    Variable("region", "string", "us-east1", machine_rules.region, "region of the jobs, the bucket and the images"),
    Variable("name", "string", "covalent", deployment_name, "what the names of all that is made begin with"),
    Variable(
        "bucket_name",
        "string",
        "",
        validators.bucket_name,
        "bucket that holds calls and outcomes on their way; empty: NAME-PROJECT",
    ),
    Variable(
        "create_bucket",
        "bool",
        True,
        validators.truth,
        "make the bucket; false: bucket_name exists already, and only access to it is given",
    ),
    Variable(
        "object_days",
        "number",
        7,
        validators.whole_number(least=1, most=3650),
        "days after which the objects of Covalent's dispatches are deleted, if nobody did before",
    ),
    Variable(
        "cache_days",
        "number",
        90,
        validators.whole_number(least=1, most=3650),
        "days after which values in the cache are deleted (option cache)",
    ),
    Variable(
        "soft_delete_days",
        "number",
        0,
        _soft_delete_days,
        "days that deleted objects can be brought back, and are paid for: 0, or 7 to 90",
    ),
    Variable(
        "force_destroy",
        "bool",
        True,
        validators.truth,
        "delete the bucket's objects with the bucket; false: a bucket that is not empty cannot be taken down",
    ),
    Variable(
        "dispatcher_members",
        "list(string)",
        [],
        _members,
        "who runs Covalent servers: user:, group: or serviceAccount: and an address",
    ),
    Variable(
        "image_publishers",
        "list(string)",
        [],
        _members,
        "who may push images to the repository: user:, group: or serviceAccount: and an address",
    ),
    Variable(
        "secrets",
        "list(string)",
        [],
        _secrets,
        "secrets of Secret Manager that jobs may read: SECRET or projects/PROJECT/secrets/SECRET",
    ),
    Variable(
        "create_network",
        "bool",
        False,
        validators.truth,
        "make a network whose machines have no addresses on the internet, and let jobs run in it",
    ),
    Variable("subnetwork_range", "string", "10.10.0.0/20", _range, "addresses of the network's machines"),
    Variable(
        "nat",
        "bool",
        False,
        validators.truth,
        "let the network's machines reach the internet (pip, Docker Hub) through Cloud NAT",
    ),
    Variable(
        "image",
        "string",
        "",
        _image,
        "NAME:TAG in the repository that jobs are to run in; empty: the stock image",
    ),
)
VARIABLES: Mapping[str, Variable] = {variable.name: variable for variable in _EACH}


def read_assignments(texts: Sequence[str]) -> dict[str, object]:
    """The values in texts of the form NAME=VALUE; lists as A,B or in JSON; an empty value is the default's.

    Raises:
        DeployMistakeError: texts of another form, unknown names and wrong values, all of them in one message.
    """
    values: dict[str, object] = {}
    mistakes = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            mistakes.append(f"{text!r} is not of the form NAME=VALUE")
        elif name in OWN_OPTIONS:
            mistakes.append(f"{name} has an option of its own: write {OWN_OPTIONS[name]} {value}".rstrip())
        elif name not in VARIABLES:
            near = nearest(name, VARIABLES)
            mistakes.append(f"there is no variable {name!r}" + (f" (did you mean {near!r}?)" if near else ""))
        else:
            try:
                values[name] = checked(name, _read(VARIABLES[name], value))
            except ValueError as error:
                mistakes.append(f"{name} = {value!r} {error}")
    if mistakes:
        raise DeployMistakeError("\n".join(["--set is not understood:", *(f"  - {mistake}" for mistake in mistakes)]))
    return values


def checked(name: str, value: object) -> object:
    """A variable's value as its rule writes it; the default for "nothing said".

    Raises:
        ValueError: the rule refuses it.
    """
    variable = VARIABLES[name]
    return variable.default if value in ("", None) else variable.rule(value)


def contradictions(values: Mapping[str, object]) -> list[str]:
    """One sentence for each pair of values that cannot stand together; the files' preconditions say the same."""
    found = []
    if values.get("nat") is True and values.get("create_network") is not True:
        found.append("nat = true needs create_network = true: Cloud NAT is for the network made here")
    if values.get("create_bucket") is False and not values.get("bucket_name"):
        found.append("create_bucket = false needs bucket_name: the bucket that exists already")
    return found


def _read(variable: Variable, text: str) -> object:
    if variable.type != "list(string)" or not text:
        return text
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f'is not a list in JSON ({error}): write A,B or ["A", "B"]') from None
