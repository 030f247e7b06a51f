"""The Terraform files against the provider's schema, the package's own names and rules, and the documentation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from infra_files import META_ARGUMENTS, Resource, blocks, files, references, resources
from make_schema import SCHEMA, resource_types

from covalent_parallel_plugin.batch.runner_archive import runner_archive
from covalent_parallel_plugin.cli.deploy.deployment_folder import INFRA, MARK
from covalent_parallel_plugin.protocol.object_names import CACHE_PREFIX, PREFIX
from covalent_parallel_plugin.protocol.sweep_objects import SWEEPS_PREFIX
from covalent_parallel_plugin.settings import OPTIONS
from covalent_parallel_plugin.settings.infrastructure_variables import VARIABLES

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "how-to" / "deploy.md"
SCHEMAS: dict[str, Any] = json.loads(SCHEMA.read_text())
# Terraform's own; https://developer.hashicorp.com/terraform/language/resources/terraform-data
TERRAFORM_DATA = {"arguments": {"input": {}, "triggers_replace": {}}, "blocks": {}, "readable": ["id", "output"]}
EVERY_RESOURCE = pytest.mark.parametrize("resource", resources(), ids=str)


def schema(version: str, kind: str) -> dict[str, Any]:
    return TERRAFORM_DATA if kind == "terraform_data" else SCHEMAS[version][kind]


def problems(body: dict[str, Any], known: dict[str, Any], where: str) -> Iterator[str]:
    """What a block has that its schema does not know, and what it lacks."""
    for name, value in body.items():
        if name in known["blocks"]:
            entries = value if isinstance(value, list) else [value]
            if known["blocks"][name]["single"] and len(entries) > 1:
                yield f"{where}.{name} may stand once"
            for entry in entries:
                yield from problems(entry, known["blocks"][name], f"{where}.{name}")
        elif name not in known["arguments"]:
            yield f"{where}.{name} is unknown"
    for name, entry in [*known["arguments"].items(), *known["blocks"].items()]:
        if entry.get("required") and name not in body:
            yield f"{where}.{name} is missing"


@EVERY_RESOURCE
@pytest.mark.parametrize("version", SCHEMAS)
def test_every_argument_is_one_that_the_provider_knows(resource: Resource, version: str) -> None:
    own = {name: value for name, value in resource.body.items() if name not in META_ARGUMENTS}
    assert list(problems(own, schema(version, resource.type), str(resource))) == []


@pytest.mark.parametrize("version", SCHEMAS)
def test_every_attribute_that_is_read_is_one_that_the_provider_has(version: str) -> None:
    unknown = {(kind, name) for kind, name in references() if name not in schema(version, kind)["readable"]}
    assert unknown == set()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"location": "x"}, ["b.name is missing"]),
        ({"location": "x", "name": "y", "colour": "red"}, ["b.colour is unknown"]),
        (
            {"location": "x", "name": "y", "soft_delete_policy": [{"days": 7}]},
            ["b.soft_delete_policy.days is unknown"],
        ),
        (
            {"location": "x", "name": "y", "lifecycle_rule": [{"condition": [{}]}]},
            ["b.lifecycle_rule.action is missing"],
        ),
        ({"location": "x", "name": "y", "soft_delete_policy": [{}, {}]}, ["b.soft_delete_policy may stand once"]),
    ],
)
def test_the_comparison_with_the_schema_finds_mistakes(body: dict[str, Any], found: list[str]) -> None:
    newest = list(SCHEMAS)[-1]
    assert list(problems(body, SCHEMAS[newest]["google_storage_bucket"], "b")) == found


def test_the_schema_is_of_the_resources_that_are_used() -> None:
    used = resource_types(path.read_text() for path in files())
    assert all(sorted(known) == used for known in SCHEMAS.values())


def test_the_oldest_provider_allowed_is_no_older_than_the_oldest_checked() -> None:
    text = (INFRA / "versions.tf").read_text()
    least = re.search(r'version = ">= (\d+)\.(\d+)\.\d+, < 8\.0\.0"', text)
    assert least is not None
    assert min(tuple(map(int, version.split(".")[:2])) for version in SCHEMAS) == tuple(map(int, least.groups()))


def test_no_provider_but_googles_is_needed() -> None:
    assert {resource.type.split("_")[0] for resource in resources()} == {"google", "terraform"}


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_would_format_the_files_no_differently() -> None:
    ended = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", str(INFRA)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def without_texts(line: str) -> str:
    """A line's code: brackets in texts and comments count for nothing."""
    return re.sub(r'"(\\.|[^"\\])*"', '""', line).split("#")[0]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_lines_are_indented_as_terraform_formats_them(path: Path) -> None:
    """Two spaces for each line that leaves brackets open, however many they are."""
    levels: list[int] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = without_texts(line)
        assert line == line.rstrip(), f"{path.name}:{number}"
        at_start = re.match(r"[\s)\]}]*", code)
        closed_first = len(at_start[0].replace(" ", "")) if at_start else 0
        if line:
            depth = sum(levels[: len(levels) - closed_first])
            assert len(line) - len(line.lstrip()) == 2 * depth, f"{path.name}:{number}"
        before = len(levels)
        for character in code:
            if character in "([{":
                levels.append(1)
            elif character in ")]}":
                levels.pop()
                before = min(before, len(levels))
        levels[before + 1 :] = [0] * len(levels[before + 1 :])
    assert levels == []


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_equals_signs_of_neighbours_stand_in_one_column(path: Path) -> None:
    group: list[int] = []
    for line in [*path.read_text().splitlines(), ""]:
        match = re.match(r"( *\w+ *)= ", line)
        is_whole = without_texts(line).count("(") == without_texts(line).count(")") and not line.endswith(("{", "["))
        if match and is_whole:
            group.append(len(match[1]))
        else:
            assert len(set(group)) <= 1, f"{path.name}: before {line!r}"
            group = []


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_every_file_says_whose_it_is(path: Path) -> None:
    assert path.read_text().startswith(MARK)


def test_variables_are_those_that_the_command_knows() -> None:
    told = {
        name: (body["type"].removeprefix("${").removesuffix("}"), body["default"], body["description"])
        for name, body in blocks("variable").items()
    }
    assert told == {each.name: (each.type, each.default, each.help) for each in VARIABLES.values()}


def test_every_variable_that_is_text_or_number_is_validated() -> None:
    unchecked = {name for name, body in blocks("variable").items() if "validation" not in body}
    assert unchecked == {name for name, variable in VARIABLES.items() if variable.type == "bool"}


def test_outputs_are_options_of_the_executor() -> None:
    assert set(blocks("output")) - set(OPTIONS) == {"repository"}


def test_covalents_file_holds_the_same_options_as_the_outputs() -> None:
    text = (INFRA / "covalent.tf").read_text()
    listed = re.search(r"covalent_options = \{(.*?)\n  \}", text, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"(?m)^    (\w+) +=", listed[1])) == set(blocks("output")) - {"repository"}


def call_prefixes() -> list[str]:
    (listed,) = re.findall(r"call_prefixes = \[(.*)\]", (INFRA / "main.tf").read_text())
    return [name.strip().strip('"') for name in listed.split(",")]


def test_the_lifecycle_rule_takes_in_the_objects_of_every_dispatch() -> None:
    ids = [f"{first:x}0e8400-e29b-41d4-a716-446655440000" for first in range(16)]
    assert all(f"{PREFIX}/{dispatch_id}/0/call".startswith(tuple(call_prefixes())) for dispatch_id in ids)


def test_the_lifecycle_rule_leaves_the_runners_archive() -> None:
    assert not runner_archive().object_name.startswith(tuple(call_prefixes()))


def test_the_lifecycle_rule_leaves_sweeps() -> None:
    assert not f"{SWEEPS_PREFIX}/".startswith(tuple(call_prefixes()))


def test_values_in_the_cache_have_a_rule_of_their_own() -> None:
    assert not f"{CACHE_PREFIX}/".startswith(tuple(call_prefixes()))
    rules = [rule["condition"][0] for rule in bucket()["lifecycle_rule"]]
    assert [rule["age"] for rule in rules if f"{CACHE_PREFIX}/" in rule["matches_prefix"]] == ["${var.cache_days}"]


def bucket() -> dict[str, Any]:
    (found,) = [resource.body for resource in resources() if resource.type == "google_storage_bucket"]
    return found


def test_the_bucket_cannot_be_opened_to_the_public() -> None:
    assert bucket()["public_access_prevention"] == "enforced"
    assert bucket()["uniform_bucket_level_access"] is True


def test_apis_stay_enabled_when_all_else_goes() -> None:
    (services,) = [resource.body for resource in resources() if resource.type == "google_project_service"]
    assert services["disable_on_destroy"] is False


def grants() -> list[tuple[str, str, str]]:
    """Who is granted what on what, from the resources."""
    where = {
        "google_project_iam_member": "project",
        "google_storage_bucket_iam_member": "bucket",
        "google_artifact_registry_repository_iam_member": "repository",
        "google_service_account_iam_member": "service account",
        "google_secret_manager_secret_iam_member": "each secret",
    }
    return sorted(
        (resource.name.split("_")[0], resource.body["role"], where[resource.type])
        for resource in resources()
        if "_iam_" in resource.type
    )


def test_the_documentation_names_exactly_the_roles_that_are_granted() -> None:
    who = {"jobs": "jobs' machines", "dispatchers": "dispatchers", "people": "dispatchers", "publishers": "publishers"}
    rows = re.findall(r"(?m)^\| ([^|]+?) \| `(roles/[A-Za-z.]+)` \| ([^|]+?) \|", DOCS.read_text())
    told = sorted((subject, role, place) for subject, role, place in rows)
    assert told == sorted((who[subject], role, place) for subject, role, place in grants())


def test_the_documentation_names_no_other_role_as_granted() -> None:
    granted = {role for _, role, _ in grants()}
    section = DOCS.read_text().split("## Who may do what")[1].split("\n## ")[0]
    assert set(re.findall(r"roles/[A-Za-z.]+", section)) == granted


def test_the_documentation_names_every_api() -> None:
    enabled = re.findall(r'"(\w+)\.googleapis\.com"', (INFRA / "main.tf").read_text())
    assert set(re.findall(r"`(\w+)\.googleapis\.com`", DOCS.read_text())) == set(enabled)


def test_no_role_is_granted_on_the_whole_project_that_could_be_on_one_resource() -> None:
    """The project's roles are those that Batch, Logging and Service Usage have no smaller place for."""
    on_project = {role for _, role, place in grants() if place == "project"}
    assert on_project == {
        "roles/batch.agentReporter",
        "roles/batch.jobsEditor",
        "roles/logging.logWriter",
        "roles/logging.viewer",
        "roles/serviceusage.serviceUsageConsumer",
    }


def test_only_those_who_push_images_may_write_to_the_repository() -> None:
    writers = [subject for subject, role, _ in grants() if role == "roles/artifactregistry.writer"]
    assert writers == ["publishers"]


def test_grants_are_added_to_those_of_others_and_never_replace_them() -> None:
    kinds = {resource.type.rsplit("_", 1)[1] for resource in resources() if "_iam_" in resource.type}
    assert kinds == {"member"}
