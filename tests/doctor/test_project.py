"""What is wrong with project, bucket, machines, accounts and secrets, set up on the emulator and diagnosed by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.emulator.project.resources import (
    Accelerator,
    BucketFacts,
    Machine,
    Network,
    ProjectResources,
    ServiceAccount,
    Subnetwork,
)

Diagnose = Callable[..., Any]
EMAIL = "runner@local.iam.gserviceaccount.com"


@contextlib.contextmanager
def standing(**known: Any) -> Iterator[dict[str, str]]:
    """The variables of an emulator in which these things exist."""
    with Emulator(buckets=("covalent",), known=ProjectResources(**known)) as emulator:
        yield emulator.environment


def test_a_project_that_is_not_there(examine_here: Diagnose) -> None:
    with standing(projects=["another"]) as environment:
        found = examine_here(environment=environment)
    assert found["project.exists"]["status"] == "error"
    assert "'local' does not exist, or this account has no rights in it" in found["project.exists"]["found"]
    assert "gcloud projects list" in found["project.exists"]["remedy"]
    assert found["project.apis"]["found"] == "see project.exists"
    assert found.status == 1


def test_a_project_whose_details_may_not_be_seen_but_whose_batch_answers(examine_here: Diagnose) -> None:
    with standing(denied=["resourcemanager.projects.get"]) as environment:
        found = examine_here(environment=environment)
    assert found["project.exists"]["status"] == "warning"
    assert found["batch.usable"]["status"] == "ok"


def test_an_api_that_is_not_enabled(examine_here: Diagnose) -> None:
    with standing(disabled_apis=["batch.googleapis.com"]) as environment:
        found = examine_here(environment=environment)
    assert found["project.apis"]["status"] == "error"
    assert found["project.apis"]["remedy"] == "gcloud services enable batch.googleapis.com --project=local"
    assert found["batch.usable"]["status"] == "skipped"
    assert found["region.known"]["found"] == "batch.googleapis.com is not enabled, see project.apis"


def test_artifact_registry_is_needed_for_an_image_there_only(examine_here: Diagnose) -> None:
    with standing(disabled_apis=["artifactregistry.googleapis.com"]) as environment:
        without = examine_here(environment=environment)
        image = "us-east1-docker.pkg.dev/local/images/covalent:1"
        with_it = examine_here(options={"container_image_uri": image}, environment=environment)
    assert without["project.apis"]["status"] == "ok"
    assert "artifactregistry.googleapis.com" in with_it["project.apis"]["remedy"]


def test_a_region_that_batch_does_not_have(examine_here: Diagnose) -> None:
    with standing() as environment:
        found = examine_here(options={"region": "us-east9"}, environment=environment)
    assert found["region.known"]["status"] == "error"
    assert "'us-east1'" in found["region.known"]["remedy"]


def test_a_zone_that_the_region_does_not_have(examine_here: Diagnose) -> None:
    with standing() as environment:
        found = examine_here(options={"zones": ["us-east1-b", "us-east1-z"]}, environment=environment)
    assert found["zones.known"]["status"] == "error"
    assert found["zones.known"]["found"] == "us-east1 has no zone us-east1-z"


def test_machines_and_gpus_are_looked_for_where_there_are_zones_though_another_is_wrong(
    examine_here: Diagnose,
) -> None:
    wanted = {"zones": ["us-east1-z"], "machine_type": "n5-standard-4"}
    with standing() as environment:
        found = examine_here(options=wanted, environment=environment)
        gpu = examine_here(
            options={"zones": ["us-east1-z"], "gpu_type": "nvidia-tesla-t4-vws"}, environment=environment
        )
    assert found["zones.known"]["status"] == "error"
    assert "no machine type 'n5-standard-4' in us-east1-b,us-east1-c" in found["machine.known"]["found"]
    assert "no accelerator 'nvidia-tesla-t4-vws' in us-east1-b, us-east1-c" in gpu["gpu.known"]["found"]


def test_a_machine_type_is_looked_for_in_those_of_the_zones_that_there_are(examine_here: Diagnose) -> None:
    wanted = {"zones": ["us-east1-c", "us-east1-z"], "machine_type": "n5-standard-4"}
    with standing() as environment:
        found = examine_here(options=wanted, environment=environment)
    assert found["machine.known"]["found"].endswith("'n5-standard-4' in us-east1-c")


def test_a_machine_type_that_is_not_there(examine_here: Diagnose) -> None:
    with standing() as environment:
        found = examine_here(options={"machine_type": "n5-standard-4"}, environment=environment)
    assert found["machine.known"]["status"] == "error"
    assert "gcloud compute machine-types list" in found["machine.known"]["remedy"]
    assert found["machine.fits"]["status"] == "skipped"


def test_a_machine_type_that_only_other_zones_have(examine_here: Diagnose) -> None:
    with standing(machine_types={"n2-standard-4": Machine(4, 16384, zones=["us-east1-d"])}) as environment:
        wanted = {"machine_type": "n2-standard-4", "zones": ["us-east1-b"]}
        assert examine_here(options=wanted, environment=environment)["machine.known"]["status"] == "error"
        del wanted["zones"]
        assert examine_here(options=wanted, environment=environment)["machine.known"]["status"] == "ok"


def test_a_machine_too_small_for_its_task(examine_here: Diagnose) -> None:
    with standing() as environment:
        found = examine_here(options={"machine_type": "n2-standard-4", "vcpus": 8}, environment=environment)
    assert found["machine.fits"]["status"] == "error"
    assert "vcpus = 8 is more than a n2-standard-4 has (4)" in found["machine.fits"]["found"]


def test_a_machine_type_that_may_not_be_looked_at_is_a_warning(examine_here: Diagnose) -> None:
    with standing(denied=["compute.machineTypes.get"]) as environment:
        found = examine_here(options={"machine_type": "n2-standard-4"}, environment=environment)
    assert found["machine.known"]["status"] == "warning"
    assert "compute.machineTypes.get" in found["machine.known"]["remedy"]
    assert found["machine.fits"]["status"] == "skipped"


def test_an_accelerator_that_the_zones_do_not_have(examine_here: Diagnose) -> None:
    known = {"nvidia-tesla-t4": Accelerator(4, zones=["us-east1-c"])}
    with standing(accelerator_types=known) as environment:
        wanted = {"gpu_type": "nvidia-tesla-t4", "zones": ["us-east1-b"]}
        found = examine_here(options=wanted, environment=environment)
    assert found["gpu.known"]["status"] == "error"
    assert "accelerator-types list" in found["gpu.known"]["remedy"]


def test_a_quota_too_small_is_a_warning(examine_here: Diagnose) -> None:
    with standing(quotas={"us-east1": {"N2_CPUS": 24}}) as environment:
        found = examine_here(options={"machine_type": "n2-standard-96", "vcpus": 96}, environment=environment)
    assert found["quota.cpus"]["status"] == "warning"
    assert "N2_CPUS in us-east1: 0 of 24 used, and one machine needs 96" in found["quota.cpus"]["found"]


def test_a_network_that_is_not_there(examine_here: Diagnose) -> None:
    with standing() as environment:
        found = examine_here(options={"network": "lab", "subnetwork": "default"}, environment=environment)
    assert found["network.known"]["status"] == "error"
    assert "gcloud compute networks list" in found["network.known"]["remedy"]


def test_a_project_without_the_default_network(examine_here: Diagnose) -> None:
    with standing(networks={"lab": Network()}) as environment:
        found = examine_here(environment=environment)
    assert found["network.known"]["status"] == "error"
    assert found["network.known"]["found"] == "the project local has no network 'default'"


def test_a_subnetwork_without_private_google_access(examine_here: Diagnose) -> None:
    lab = Network({"lab-east": Subnetwork("us-east1", private_google_access=False)})
    options = {"network": "lab", "subnetwork": "lab-east", "external_ip": False}
    with standing(networks={"lab": lab}) as environment:
        found = examine_here(options=options, environment=environment)
        open_to_all = examine_here(options={**options, "external_ip": True}, environment=environment)
    assert found["subnetwork.known"]["status"] == "ok"
    assert found["subnetwork.private_access"]["status"] == "error"
    assert "--enable-private-ip-google-access" in found["subnetwork.private_access"]["remedy"]
    assert open_to_all["subnetwork.private_access"]["status"] == "ok"


def test_a_subnetwork_of_another_network(examine_here: Diagnose) -> None:
    networks = {"lab": Network({"lab-east": Subnetwork("us-east1")}), "default": Network()}
    with standing(networks=networks) as environment:
        found = examine_here(options={"network": "default", "subnetwork": "lab-east"}, environment=environment)
    assert found["subnetwork.known"]["status"] == "error"
    assert "belongs to the network 'lab'" in found["subnetwork.known"]["found"]


def test_a_service_account_that_is_not_there(examine_here: Diagnose) -> None:
    with standing(service_accounts={}) as environment:
        found = examine_here(options={"service_account_email": EMAIL}, environment=environment)
    assert found["service_account.exists"]["status"] == "error"
    assert "gcloud iam service-accounts list" in found["service_account.exists"]["remedy"]
    assert found["service_account.usable"]["status"] == "skipped"


def test_a_disabled_service_account(examine_here: Diagnose) -> None:
    with standing(service_accounts={EMAIL: ServiceAccount(disabled=True)}) as environment:
        found = examine_here(options={"service_account_email": EMAIL}, environment=environment)
    assert found["service_account.exists"]["status"] == "error"
    assert f"service-accounts enable {EMAIL}" in found["service_account.exists"]["remedy"]


def test_a_service_account_that_the_caller_may_not_act_as(examine_here: Diagnose) -> None:
    with standing(service_accounts={EMAIL: ServiceAccount(may_act_as=False)}) as environment:
        found = examine_here(options={"service_account_email": EMAIL}, environment=environment)
    assert found["service_account.exists"]["status"] == "ok"
    assert found["service_account.usable"]["status"] == "error"
    assert "roles/iam.serviceAccountUser" in found["service_account.usable"]["remedy"]


def test_a_secret_that_is_not_there(examine_here: Diagnose) -> None:
    with standing(secrets=["other"]) as environment:
        found = examine_here(options={"secrets": {"TOKEN": "hub-token"}}, environment=environment)
    assert found["secrets.known"]["status"] == "error"
    assert "gcloud secrets create hub-token" in found["secrets.known"]["remedy"]


def test_the_secrets_that_the_stand_in_was_given_are_those_that_exist(examine_here: Diagnose) -> None:
    with Emulator(secrets={"projects/local/secrets/hub-token/versions/1": "s3cret"}) as emulator:
        given = examine_here(options={"secrets": {"TOKEN": "hub-token"}}, environment=emulator.environment)
        other = examine_here(options={"secrets": {"TOKEN": "other"}}, environment=emulator.environment)
    assert given["secrets.known"]["status"] == "ok"
    assert other["secrets.known"]["status"] == "error"


def test_a_volume_whose_bucket_is_not_there(examine_here: Diagnose) -> None:
    volumes = {"data": "gs://covalent/in", "more": "gs://nowhere"}
    with standing() as environment:
        found = examine_here(options={"volumes": volumes}, environment=environment)
    assert found["volumes.known"]["status"] == "error"
    assert found["volumes.known"]["found"] == "this bucket of a volume does not exist: nowhere"


def test_a_bucket_that_is_not_there(examine_here: Diagnose) -> None:
    with standing() as environment:
        found = examine_here(options={"bucket_name": "nowhere"}, environment=environment)
    assert found["bucket.exists"]["status"] == "error"
    assert found["bucket.exists"]["remedy"].startswith("gcloud storage buckets create gs://nowhere")
    assert found["bucket.writable"]["found"] == "see bucket.exists"


def test_a_bucket_that_can_only_be_read(examine_here: Diagnose) -> None:
    read_only = BucketFacts(denied=("storage.objects.create", "storage.objects.delete"))
    with standing(buckets={"covalent": read_only}) as environment:
        found = examine_here(environment=environment)
    assert found["bucket.permissions"]["status"] == "error"
    assert "storage.objects.create, storage.objects.delete" in found["bucket.permissions"]["found"]
    assert found["bucket.writable"]["status"] == "error"
    assert "roles/storage.objectUser" in found["bucket.writable"]["remedy"]


def test_a_bucket_in_which_nothing_can_be_deleted(examine_here: Diagnose) -> None:
    with standing(buckets={"covalent": BucketFacts(denied=("storage.objects.delete",))}) as environment:
        found = examine_here(environment=environment)
    assert found["bucket.writable"]["status"] == "error"
    assert "could not delete gs://covalent/covalent-parallel/doctor-" in found["bucket.writable"]["found"]
    assert "is left there" in found["bucket.writable"]["found"]


def test_a_bucket_whose_set_up_may_not_be_read_is_a_warning_and_still_tried(examine_here: Diagnose) -> None:
    with standing(denied=["storage.buckets.get"]) as environment:
        found = examine_here(environment=environment)
    assert found["bucket.exists"]["status"] == "warning"
    assert found["bucket.writable"]["status"] == "ok"
    assert found["bucket.location"]["status"] == "skipped"


def test_a_bucket_far_from_the_jobs(examine_here: Diagnose) -> None:
    with standing(buckets={"covalent": BucketFacts(location="europe-west4")}) as environment:
        found = examine_here(environment=environment)
    assert found["bucket.location"]["status"] == "warning"
    assert "EUROPE-WEST4" in found["bucket.location"]["found"]


def test_a_bucket_open_to_the_public(examine_here: Diagnose) -> None:
    facts = BucketFacts(uniform_access=False, public_access_prevention=False)
    with standing(buckets={"covalent": facts}) as environment:
        found = examine_here(environment=environment)
    assert found["bucket.access"]["status"] == "warning"
    assert found["bucket.access"]["remedy"].endswith("--uniform-bucket-level-access --public-access-prevention")


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (BucketFacts(lifecycle_days=None), "no rule deletes"),
        (BucketFacts(lifecycle_prefix="other/"), "no rule deletes"),
        (BucketFacts(lifecycle_days=1), "after 1 days"),
    ],
    ids=["none", "of another prefix", "too quick"],
)
def test_a_lifecycle_rule_that_does_not_help(examine_here: Diagnose, facts: BucketFacts, what: str) -> None:
    with standing(buckets={"covalent": facts}) as environment:
        found = examine_here(environment=environment)
    assert found["bucket.lifecycle"]["status"] == "warning"
    assert what in found["bucket.lifecycle"]["found"]
