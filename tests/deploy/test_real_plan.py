"""The whole of `assets/infra`, planned, applied and destroyed by the real Terraform on a stand-in for the provider."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy_worlds import World
from make_schema import SCHEMA
from stand_in_provider import StandInProvider, serving

from covalent_parallel_plugin.batch.runner_archive import runner_archive
from covalent_parallel_plugin.cli.deploy.deployment_folder import INFRA
from covalent_parallel_plugin.cli.deploy.terraform import Terraform
from covalent_parallel_plugin.errors import DeployError
from covalent_parallel_plugin.protocol.object_names import PREFIX
from covalent_parallel_plugin.settings import check, resolve

SCHEMAS: dict[str, Any] = json.loads(SCHEMA.read_text())
PROGRAM = shutil.which("terraform") or shutil.which("tofu")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="neither terraform nor tofu is installed")


EACH_VERSION = pytest.mark.parametrize("version", SCHEMAS)


@pytest.fixture
def version() -> str:
    """The newest of which the schema is known; `EACH_VERSION` goes through all."""
    return list(SCHEMAS)[-1]


@pytest.fixture
def provider(version: str) -> StandInProvider:
    return StandInProvider(SCHEMAS[version])


@pytest.fixture
def google(provider: StandInProvider, tmp_path: Path) -> Iterator[World]:
    """A deployment of the real files."""
    with serving(provider) as reattach:
        world = World(str(PROGRAM), tmp_path / "data" / "my-project" / "covalent", INFRA)
        world.environment = {"TF_REATTACH_PROVIDERS": reattach}
        yield world


def made(world: World) -> dict[str, dict[str, Any]]:
    """The attributes of what stands, by address."""
    state = json.loads((world.folder / "terraform.tfstate").read_text())
    return {
        f"{resource['type']}.{resource['name']}"
        + (f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""): instance["attributes"]
        for resource in state["resources"]
        for instance in resource["instances"]
    }


@EACH_VERSION
def test_everything_is_made_with_defaults(google: World) -> None:
    outputs = google.up()
    assert outputs == {
        "project_id": "my-project",
        "region": "us-east1",
        "bucket_name": "covalent-my-project",
        "service_account_email": "covalent-jobs@my-project.iam.gserviceaccount.com",
        "repository": "us-east1-docker.pkg.dev/my-project/covalent",
    }


def test_what_is_written_into_the_configuration_makes_settings(google: World) -> None:
    google.up(create_network=True, image="covalent-parallel:latest")
    settings = check(resolve({}, google.configured))
    assert settings.bucket_name == "covalent-my-project"
    assert settings.external_ip is False
    assert settings.container_image_uri == "us-east1-docker.pkg.dev/my-project/covalent/covalent-parallel:latest"
    assert settings.subnetwork == "projects/my-project/regions/us-east1/subnetworks/covalent"


@EACH_VERSION
def test_everything_is_made_with_every_variable_set(google: World) -> None:
    google.up(
        region="europe-west4",
        bucket_name="my-bucket",
        object_days=30,
        soft_delete_days=7,
        force_destroy=False,
        dispatcher_members=["user:ada@example.org", "serviceAccount:server@my-project.iam.gserviceaccount.com"],
        image_publishers=["group:builders@example.org"],
        secrets=["token", "projects/other-project/secrets/key"],
        create_network=True,
        subnetwork_range="10.20.0.0/22",
        nat=True,
        image="mine:1",
    )
    standing = made(google)
    bucket = standing["google_storage_bucket.calls[0]"]
    assert bucket["name"] == "my-bucket"
    assert bucket["lifecycle_rule"][0]["condition"][0]["age"] == 30
    assert bucket["soft_delete_policy"][0]["retention_duration_seconds"] == 7 * 86400
    assert standing["google_compute_subnetwork.jobs[0]"]["ip_cidr_range"] == "10.20.0.0/22"
    assert "google_compute_router_nat.jobs[0]" in standing


def test_the_lifecycle_rule_takes_in_dispatches_and_leaves_the_runners_archive(google: World) -> None:
    google.up()
    rule = made(google)["google_storage_bucket.calls[0]"]["lifecycle_rule"][0]["condition"][0]
    prefixes = tuple(rule["matches_prefix"])
    assert f"{PREFIX}/{uuid.uuid4()}/0/call".startswith(prefixes)
    assert not runner_archive().object_name.startswith(prefixes)


def test_secrets_of_another_project_are_looked_for_there(google: World) -> None:
    google.up(secrets=["token", "projects/other-project/secrets/key"])
    grants = {
        (grant["project"], grant["secret_id"])
        for address, grant in made(google).items()
        if address.startswith("google_secret_manager_secret_iam_member.")
    }
    assert grants == {("my-project", "token"), ("other-project", "key")}


def test_the_api_for_secrets_is_enabled_only_where_there_are_any(google: World) -> None:
    google.up()
    address = 'google_project_service.needed["secretmanager.googleapis.com"]'
    assert address not in made(google)
    google.up(secrets=["token"])
    assert address in made(google)


def test_nobody_but_the_machines_is_granted_anything_by_default(google: World) -> None:
    google.up()
    members = {grant["member"] for address, grant in made(google).items() if "_iam_member" in address}
    assert members == {"serviceAccount:covalent-jobs@my-project.iam.gserviceaccount.com"}


def test_only_people_are_granted_the_use_of_the_project(google: World) -> None:
    server = "serviceAccount:server@my-project.iam.gserviceaccount.com"
    google.up(dispatcher_members=["user:ada@example.org", server])
    granted = {
        grant["member"]
        for grant in made(google).values()
        if grant.get("role") == "roles/serviceusage.serviceUsageConsumer"
    }
    assert granted == {"user:ada@example.org"}


def test_the_machines_may_be_used_by_dispatchers_and_no_other_account_of_the_project(google: World) -> None:
    google.up(dispatcher_members=["user:ada@example.org"])
    uses = [grant for grant in made(google).values() if grant.get("role") == "roles/iam.serviceAccountUser"]
    account = "projects/my-project/serviceAccounts/covalent-jobs@my-project.iam.gserviceaccount.com"
    assert [grant["service_account_id"] for grant in uses] == [account]


def test_a_bucket_that_exists_is_given_access_to_and_left_alone(google: World) -> None:
    outputs = google.up(create_bucket=False, bucket_name="my-own-bucket")
    standing = made(google)
    assert outputs["bucket_name"] == "my-own-bucket"
    assert not [address for address in standing if address.startswith("google_storage_bucket.")]
    assert standing["google_storage_bucket_iam_member.jobs_object_viewer"]["bucket"] == "my-own-bucket"


def test_the_network_goes_and_the_rest_stays_when_it_is_wanted_no_more(google: World) -> None:
    google.up(create_network=True, nat=True)
    google.up(create_network=False, nat=False)
    assert not [address for address in made(google) if address.startswith("google_compute_")]
    assert google.configured["network"] == google.configured["subnetwork"] == google.configured["external_ip"] == ""


def test_a_second_up_changes_nothing(google: World) -> None:
    google.up(create_network=True, dispatcher_members=["user:ada@example.org"])
    assert google.deployment().plan({}, {}) is False


def test_another_region_is_told_as_a_deletion_of_the_bucket_with_its_objects(google: World) -> None:
    google.up()
    google.answer = False
    google.up(region="europe-west4")
    assert google.says("google_storage_bucket.calls[0]")
    assert google.says("Every object in the bucket is deleted with it.")


@EACH_VERSION
def test_down_takes_all_of_it_down_and_says_what_goes_with_it(google: World) -> None:
    google.up(create_network=True, secrets=["token"], dispatcher_members=["user:ada@example.org"])
    assert google.down() is True
    assert made(google) == {}
    assert google.says("Every object in the bucket is deleted with it.")
    assert google.says("Every image in the repository is deleted with it.")


def test_a_bucket_that_is_kept_while_it_holds_objects_is_told_as_such(google: World) -> None:
    google.up(force_destroy=False)
    google.answer = False
    google.down()
    assert google.says("The bucket is deleted only if it is empty")
    assert not google.says("Every object in the bucket is deleted")


def test_an_up_that_was_refused_half_way_goes_on_later(google: World, provider: StandInProvider) -> None:
    provider.refused = "roles/storage.objectCreator"
    with pytest.raises(DeployError, match="may not do this"):
        google.up()
    assert "google_storage_bucket.calls[0]" in made(google)
    provider.refused = None
    google.up()
    assert "google_storage_bucket_iam_member.jobs_object_creator" in made(google)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"project_id": ""}, "project_id is missing"),
        ({"project_id": "my-project", "bucket_name": "", "create_bucket": False}, "create_bucket = false needs"),
        ({"project_id": "my-project", "nat": True}, "nat = true needs create_network"),
        ({"project_id": "our-google-project"}, "No bucket can be called covalent-our-google-project"),
    ],
)
def test_the_files_themselves_refuse_what_cannot_be(
    google: World, given: dict[str, object], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """For those who use them without this package's command."""
    google.folder.mkdir(parents=True)
    for path in INFRA.glob("*.tf"):
        shutil.copy(path, google.folder)
    values = google.folder / "values.tfvars.json"
    values.write_text(json.dumps(given))
    terraform = google.terraform()
    terraform.init()
    with pytest.raises(DeployError):
        terraform.plan(google.folder / "saved.tfplan", values)
    assert told in " ".join(capfd.readouterr().err.replace("│", " ").split())


def test_covalents_file_is_written_with_what_there_is_to_say(google: World) -> None:
    conf = apply_all(google, {"project_id": "my-project", "create_network": True})
    assert conf.splitlines() == [
        "[gcpbatch]",
        "bucket_name = covalent-my-project",
        "external_ip = False",
        "network = projects/my-project/global/networks/covalent",
        "project_id = my-project",
        "region = us-east1",
        "service_account_email = covalent-jobs@my-project.iam.gserviceaccount.com",
        "subnetwork = projects/my-project/regions/us-east1/subnetworks/covalent",
    ]


def test_covalents_file_follows_a_change(google: World) -> None:
    apply_all(google, {"project_id": "my-project"})
    conf = apply_all(google, {"project_id": "my-project", "image": "mine:1"})
    assert "container_image_uri = us-east1-docker.pkg.dev/my-project/covalent/mine:1" in conf.splitlines()


def apply_all(world: World, values: dict[str, object]) -> str:
    """Apply every file, as `covalent deploy` does, and read what it would."""
    world.folder.mkdir(parents=True, exist_ok=True)
    for path in INFRA.glob("*.tf"):
        shutil.copy(path, world.folder)
    values_file, plan = world.folder / "values.tfvars.json", world.folder / "saved.tfplan"
    values_file.write_text(json.dumps(values))
    terraform: Terraform = world.terraform()
    terraform.init()
    terraform.plan(plan, values_file)
    terraform.apply(plan)
    return (world.folder / "gcpbatch.conf").read_text()
