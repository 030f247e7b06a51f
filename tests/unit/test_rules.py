"""What each kind of option accepts, and how it writes it."""

from __future__ import annotations

from typing import Any

import pytest

from covalent_parallel_plugin.settings import OPTIONS

ACCEPTED = [
    ("vcpus", 2, 2),
    ("vcpus", 0.5, 0.5),
    ("vcpus", "0.25", 0.25),
    ("vcpus", "2", 2),
    ("memory", 512, 512),
    ("memory", "2048", 2048),
    ("memory", 512.0, 512),
    ("time_limit", 300.0, 300),
    ("time_limit", 0.5, 0.5),
    ("poll_freq", 0.1, 0.1),
    ("retries", 0, 0),
    ("retries", "3", 3),
    ("retries", 10, 10),
    ("gpu_count", 0, 0),
    ("spot", True, True),
    ("spot", False, False),
    ("spot", "true", True),
    ("keep_objects", "False", False),
    ("spot_fallback", "True", True),
    ("retry_exceptions", True, True),
    ("queue_limit", 600.0, 600),
    ("queue_limit", "0.5", 0.5),
    ("queue_limit", 2 * 24 * 3600, 172800),
    ("boot_disk_gb", 100, 100),
    ("bucket_name", "abc", "abc"),
    ("bucket_name", "my-bucket_1.example.com", "my-bucket_1.example.com"),
    ("bucket_name", "b" * 63, "b" * 63),
    ("project_id", "my-project-123", "my-project-123"),
    ("project_id", "example.com:my-project", "example.com:my-project"),
    ("project_id", "123456789012", "123456789012"),
    ("region", "us-east1", "us-east1"),
    ("region", "northamerica-northeast2", "northamerica-northeast2"),
    ("region", "me-central1", "me-central1"),
    ("region", "europe-west10", "europe-west10"),
    ("container_image_uri", "python:3.11-slim", "python:3.11-slim"),
    ("container_image_uri", "us-east1-docker.pkg.dev/p/r/i:tag", "us-east1-docker.pkg.dev/p/r/i:tag"),
    ("container_image_uri", "gcr.io/p/i@sha256:" + "a" * 64, "gcr.io/p/i@sha256:" + "a" * 64),
    ("container_image_uri", "localhost:5000/image", "localhost:5000/image"),
    ("service_account_email", "a@p.iam.gserviceaccount.com", "a@p.iam.gserviceaccount.com"),
    ("machine_type", "n2-standard-4", "n2-standard-4"),
    ("machine_type", "custom-4-8192", "custom-4-8192"),
    ("gpu_type", "nvidia-tesla-t4", "nvidia-tesla-t4"),
    ("labels", {"team": "blue-1_x", "empty": ""}, {"team": "blue-1_x", "empty": ""}),
    ("environment", {"PATH": "/a:/b", "_x": ""}, {"PATH": "/a:/b", "_x": ""}),
]

REFUSED = [
    ("vcpus", "two", "write digits"),
    ("vcpus", 0, "more than 0"),
    ("vcpus", -1, "more than 0"),
    ("vcpus", True, "use a number"),
    ("vcpus", float("nan"), "finite"),
    ("vcpus", float("inf"), "finite"),
    ("vcpus", "nan", "finite"),
    ("vcpus", [2], "use a number"),
    ("memory", -1, "1 or more"),
    ("memory", 0, "1 or more"),
    ("memory", 512.5, "leave the fraction out"),
    ("memory", "1G", "write digits"),
    pytest.param("memory", 10**400, "smaller", id="memory-beyond-floats"),
    ("memory", 10**30, "smaller"),
    ("retries", 1e300, "smaller"),
    ("time_limit", 0, "more than 0"),
    ("time_limit", 15 * 24 * 3600, "at most"),
    ("poll_freq", 0, "more than 0"),
    ("retries", -1, "0 to 10"),
    ("retries", 11, "0 to 10"),
    ("retries", 1.5, "fraction"),
    ("retries", False, "use a number"),
    ("gpu_count", -1, "0 to 16"),
    ("boot_disk_gb", 1, "10 to 65536"),
    ("spot", 1, "True nor False"),
    ("spot", "yes", "True nor False"),
    ("keep_objects", 0, "True nor False"),
    ("spot_fallback", 1, "True nor False"),
    ("retry_exceptions", "on", "True nor False"),
    ("queue_limit", 0, "more than 0"),
    ("queue_limit", -1, "more than 0"),
    ("queue_limit", 2 * 24 * 3600 + 1, "at most 172800"),
    ("queue_limit", float("inf"), "finite"),
    ("queue_limit", True, "use a number"),
    ("bucket_name", "gs://bucket/", "write 'bucket'"),
    ("bucket_name", "Bucket", "lowercase"),
    ("bucket_name", "ab", "3 to 63"),
    ("bucket_name", "a" * 64, "3 to 63"),
    ("bucket_name", "-abc", "both ends"),
    ("bucket_name", "abc.", "both ends"),
    ("bucket_name", "a..b", "legal"),
    ("bucket_name", "192.168.1.1", "legal"),
    ("bucket_name", "google-bucket", "reserves"),
    ("bucket_name", "a/b", "legal"),
    ("bucket_name", "abc\n", "legal"),
    ("bucket_name", 7, "write it as text"),
    ("project_id", "My Project", "project id"),
    ("project_id", "a/b", "project id"),
    ("region", "us-east1-b", "use its region, 'us-east1'"),
    ("region", "US", "use one such as"),
    ("region", "us-east1/../x", "use one such as"),
    ("container_image_uri", "https://gcr.io/p/i", "write 'gcr.io/p/i'"),
    ("container_image_uri", "an image", "is no image"),
    ("service_account_email", "robot", "e-mail"),
    ("machine_type", "N2 Standard", "machine type"),
    ("gpu_type", "T4!", "accelerator type"),
    ("labels", {"goog-x": "1"}, "reserved"),
    ("labels", {"covalent-x": "1"}, "reserved"),
    ("labels", {"Team": "1"}, "'Team'"),
    ("labels", {"team": "Blue"}, "'Blue'"),
    ("labels", {"team": 1}, "text on both sides"),
    ("labels", ["team"], "use a mapping"),
    ("labels", {f"l{number}": "" for number in range(60)}, "more than"),
    ("environment", {"COVALENT_PARALLEL_KEY": "x"}, "set by the job itself"),
    ("environment", {"BATCH_TASK_INDEX": "0"}, "set by the job itself"),
    ("environment", {"a b": "x"}, "no name of a variable"),
    ("environment", {"A": "x\0y"}, "NUL"),
    ("environment", {"A": "caf\udce9"}, "no UTF-8"),
    ("environment", {1: "x"}, "text on both sides"),
    ("cache_dir", 7, "write it as text"),
]


@pytest.mark.parametrize(("name", "value", "plain"), ACCEPTED)
def test_a_legal_value_is_written_in_its_plain_form(name: str, value: Any, plain: Any) -> None:
    result = OPTIONS[name].rule(value)
    assert (result, type(result)) == (plain, type(plain))


@pytest.mark.parametrize(("name", "value", "remedy"), REFUSED)
def test_a_wrong_value_is_refused_with_the_remedy(name: str, value: Any, remedy: str) -> None:
    with pytest.raises(ValueError) as caught:
        OPTIONS[name].rule(value)
    assert remedy in str(caught.value)
    assert ": " in str(caught.value), "a remedy follows a colon"


def test_every_option_has_an_accepted_and_a_refused_example() -> None:
    assert {name for name, *_ in ACCEPTED} | {"cache_dir"} == set(OPTIONS)
    assert {case[0] for case in REFUSED if isinstance(case, tuple)} >= set(OPTIONS)
