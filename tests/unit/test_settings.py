"""Where an option's value comes from, and what is said of wrong ones."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin import settings
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.settings.resolve_options import resolve_options

NEEDED = {"bucket_name": "some-bucket", "project_id": "my-project"}


def check(**options: Any) -> settings.Settings:
    return settings.check(settings.resolve(NEEDED | options, {}))


def mistakes(**options: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        check(**options)
    return caught.value.mistakes


def test_the_constructor_wins_over_the_file_and_the_file_over_the_default() -> None:
    values = settings.resolve({"memory": 1}, {"memory": 2, "retries": 7})
    assert (values["memory"], values["retries"], values["time_limit"]) == (1, 7, 300)


@pytest.mark.parametrize("value", [0, False, 0.0, {}, []])
def test_zero_false_and_empty_mappings_are_values(value: object) -> None:
    assert settings.is_given(value)
    assert settings.resolve({"retries": value}, {"retries": 7})["retries"] is value


@pytest.mark.parametrize("value", [None, ""])
def test_none_and_the_empty_string_are_not_given(value: object) -> None:
    assert not settings.is_given(value)
    assert settings.resolve({"region": value}, {"region": "europe-west4"})["region"] == "europe-west4"
    assert settings.resolve({"region": value}, {"region": value})["region"] == "us-east1"


def test_zero_retries_and_false_for_spot_stay_what_they_are() -> None:
    values = settings.resolve(NEEDED | {"retries": 0, "spot": False}, {"retries": 5, "spot": True})
    checked = settings.check(values)
    assert (checked.retries, checked.spot) == (0, False)


def test_every_option_is_there_with_its_help() -> None:
    assert list(settings.OPTIONS)[:11] == [
        "bucket_name",
        "container_image_uri",
        "service_account_email",
        "project_id",
        "region",
        "vcpus",
        "memory",
        "time_limit",
        "poll_freq",
        "retries",
        "cache_dir",
    ]
    assert all(option.help for option in settings.OPTIONS.values())


def test_the_defaults_are_those_of_the_replaced_plugin() -> None:
    checked = check()
    assert (checked.region, checked.vcpus, checked.memory, checked.time_limit) == ("us-east1", 2, 512, 300)
    assert (checked.poll_freq, checked.retries, checked.cache_dir) == (5, 3, "/tmp/covalent")


@pytest.mark.parametrize(
    "name", [name for name, option in settings.OPTIONS.items() if option.default not in ("", None)]
)
def test_every_default_keeps_its_own_rule(name: str) -> None:
    option = settings.OPTIONS[name]
    assert option.rule(option.default) == option.default


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        check().memory = 1  # type: ignore[misc]


def test_the_defaults_of_two_settings_share_no_mapping() -> None:
    assert check().labels is not check().labels


def test_all_mistakes_are_in_one_message_with_option_value_and_remedy() -> None:
    found = mistakes(memory=-1, bucket_name="Not Legal", vcpus="two", project_id="")
    assert len(found) == 4
    text = str(SettingsError(found))
    assert text.startswith("4 options need attention:\n")
    for part in ("memory = -1", "use 1 or more", "bucket_name = 'Not Legal'", "vcpus = 'two'", "write digits"):
        assert part in text
    assert "project_id is missing" in text


def test_one_mistake_is_told_in_the_singular() -> None:
    assert str(SettingsError(["memory = 0 is wrong"])).startswith("1 option needs attention:")


def test_a_missing_option_is_told_with_both_places_to_set_it() -> None:
    (mistake,) = mistakes(bucket_name=None)
    assert "GCPBatchExecutor(bucket_name=...)" in mistake
    assert "[executors.gcpbatch]" in mistake


def test_the_error_is_a_value_error_and_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(SettingsError(["a", "b"])))  # noqa: S301
    assert isinstance(error, ValueError)
    assert error.mistakes == ("a", "b")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"gpu_count": 2}, ["gpu_count = 2", "gpu_type"]),
        ({"gpu_type": "nvidia-tesla-t4", "gpu_count": 0}, ["gpu_count = 0", "gpu_type"]),
        ({"gpu_type": "nvidia-tesla-a100", "machine_type": "a2-highgpu-1g"}, ["gpu_type", "built in"]),
        ({"gpu_type": "nvidia-l4", "machine_type": "g2-standard-4"}, ["gpu_type", "built in"]),
        ({"gpu_type": "nvidia-tesla-t4", "machine_type": "n2-standard-4"}, ["n2-standard-4", "N1"]),
        ({"gpu_type": "nvidia-l4"}, ["leave it out", "g2-standard-4"]),
        ({"gpu_type": "nvidia-tesla-t4", "gpu_count": 3}, ["gpu_count = 3", "(1, 2, 4)"]),
        ({"gpu_count": 4, "machine_type": "a2-highgpu-8g"}, ["gpu_count = 4", "has 8"]),
        ({"gpu_count": 2, "machine_type": "g2-standard-48"}, ["gpu_count = 2", "has 4"]),
        ({"local_ssd_gb": 375}, ["needs machine_type"]),
        ({"local_ssd_gb": 375, "machine_type": "e2-standard-4"}, ["no local SSDs", "n2-standard-4"]),
        ({"local_ssd_gb": 375, "machine_type": "c3-standard-8"}, ["c3-standard-8-lssd"]),
        ({"local_ssd_gb": 375, "machine_type": "n2-standard-16"}, ["1 local SSD,", "2, 4, 8, 16 or 24", "use 750"]),
        ({"local_ssd_gb": 1125, "machine_type": "n2d-standard-8"}, ["3 local SSDs", "use 1500"]),
        ({"local_ssd_gb": 3000, "machine_type": "n2-standard-128"}, ["16 or 24", "use 6000"]),
        ({"local_ssd_gb": 375, "machine_type": "n2-custom-12-24576"}, ["use 750"]),
        ({"local_ssd_gb": 375, "machine_type": "c2-standard-30"}, ["4 or 8", "use 1500"]),
        ({"local_ssd_gb": 9000, "machine_type": "c2d-standard-2"}, ["1, 2, 4 or 8", "use 3000"]),
        ({"local_ssd_gb": 3375, "machine_type": "n1-standard-8"}, ["9 local SSDs", "use 6000"]),
        ({"local_ssd_gb": 375, "machine_type": "c3-standard-8-lssd"}, ["takes 2", "use 750"]),
        ({"local_ssd_gb": 375, "machine_type": "c4a-standard-32-lssd"}, ["takes 6", "use 2250"]),
        ({"local_ssd_gb": 750, "machine_type": "g2-standard-4"}, ["takes 1", "use 375"]),
        ({"local_ssd_gb": 375, "machine_type": "a2-ultragpu-8g"}, ["takes 8", "use 3000"]),
        ({"local_ssd_gb": 375, "machine_type": "m1-ultramem-40"}, ["no local SSDs"]),
        ({"machine_type": "n1-standard-1"}, ["vcpus = 2", "n1-standard-1", "use 1 or less"]),
        ({"machine_type": "n2-standard-8", "vcpus": 16}, ["vcpus = 16", "use 8 or less"]),
        ({"machine_type": "n2-standard-8", "memory": "33GB"}, ["memory = 33792", "use 32768 or less"]),
        ({"machine_type": "custom-4-8192", "memory": 8193}, ["use 8192 or less"]),
        ({"machine_type": "f1-micro", "vcpus": 1, "memory": 1024}, ["use 614 or less"]),
        ({"machine_type": "a2-highgpu-2g", "vcpus": 32}, ["use 24 or less"]),
        ({"machine_type": "g2-standard-4", "memory": "32GB"}, ["use 16384 or less"]),
        ({"machine_type": "x9-standard-8", "vcpus": 16}, ["use 8 or less"]),
        (
            {"machine_type": "n1-standard-96", "gpu_type": "nvidia-tesla-t4", "gpu_count": 1},
            ["n1-standard-96", "48 vCPUs", "gpu_count = 4"],
        ),
        ({"machine_type": "n1-standard-16", "gpu_type": "nvidia-tesla-v100"}, ["12 vCPUs", "gpu_count = 2"]),
        ({"machine_type": "n1-highmem-16", "gpu_type": "nvidia-tesla-v100-vws"}, ["12 vCPUs", "gpu_count = 2"]),
        ({"machine_type": "custom-8-106496-ext", "gpu_type": "nvidia-tesla-v100"}, ["78 GB", "gpu_count = 2"]),
        ({"vcpus": 24, "gpu_type": "nvidia-tesla-p100"}, ["vcpus = 24", "16 vCPUs", "gpu_count = 2"]),
        ({"memory": "160GB", "gpu_type": "nvidia-tesla-p4"}, ["156 GB", "gpu_count = 2"]),
        ({"boot_disk_type": "pd-ssd", "machine_type": "n4-standard-8"}, ["hyperdisk-balanced"]),
        ({"boot_disk_type": "hyperdisk-balanced", "machine_type": "n2-standard-8"}, ["use pd-balanced"]),
        ({"boot_disk_type": "pd-standard", "machine_type": "c3-standard-8"}, ["use pd-balanced"]),
        ({"local_ssd_gb": 375, "machine_type": "c3-highcpu-8"}, ["such as c3-standard-8-lssd"]),
        ({"local_ssd_gb": 375, "machine_type": "c4d-highcpu-2"}, ["such as c4d-standard-8-lssd"]),
        ({"local_ssd_gb": 375, "machine_type": "c3d-highmem-4"}, ["such as c3d-highmem-8-lssd"]),
        ({"provisioning": "FLEX_START", "spot": True}, ["contradicts spot = True"]),
        ({"provisioning": "RESERVATION:mine", "spot": True, "machine_type": "n2-standard-4"}, ["contradicts spot"]),
        ({"provisioning": "FLEX_START", "time_limit": 7 * 24 * 3600}, ["use 604740 or less"]),
        ({"provisioning": "RESERVATION:mine"}, ["needs machine_type"]),
        (
            {"provisioning": "RESERVATION:projects/p/zones/us-west1-b/reservations/r", "machine_type": "n2-standard-4"},
            ["us-west1-b", "region = 'us-east1'"],
        ),
        (
            {
                "provisioning": "RESERVATION:zones/us-east1-c/reservations/r",
                "machine_type": "n2-standard-4",
                "zones": ["us-east1-b"],
            },
            ["us-east1-c", "zones = ['us-east1-b']"],
        ),
        ({"zones": ["us-east1-b", "us-west1-a"]}, ["'us-west1-a'", "region = 'us-east1'"]),
        ({"subnetwork": "regions/us-west1/subnetworks/s", "network": "n"}, ["not in region = 'us-east1'"]),
        ({"external_ip": False}, ["network and subnetwork"]),
        ({"external_ip": False, "network": "n"}, ["needs subnetwork"]),
        ({"environment": {"A": "1", "B": "2"}, "secrets": {"B": "b"}}, ["both set B"]),
        ({"registry_username": "us"}, ["need each other"]),
        ({"registry_password": "hub"}, ["need each other"]),
        ({"spot_fallback": True}, ["spot_fallback = True", "set spot"]),
        ({"spot_fallback": True, "spot": False}, ["spot_fallback = True", "set spot"]),
        ({"spot_fallback": "true"}, ["spot_fallback", "set spot"]),
        ({"spot_fallback": True, "spot": "false"}, ["spot_fallback = True", "set spot"]),
    ],
)
def test_options_that_cannot_stand_together_are_told(options: dict[str, Any], named: list[str]) -> None:
    (mistake,) = mistakes(**options)
    assert all(part in mistake for part in named)


@pytest.mark.parametrize(
    "options",
    [
        {"provisioning": "NO_RESERVATION", "spot": True},
        {"provisioning": "RESERVATION_BOUND:mine", "machine_type": "a3-megagpu-8g"},
        {"provisioning": "FLEX_START", "time_limit": 7 * 24 * 3600 - 60, "machine_type": "g2-standard-4"},
        {"gpu_count": 8, "machine_type": "a2-highgpu-8g"},
        {"gpu_count": 1, "machine_type": "g2-standard-4"},
        {"gpu_type": "nvidia-tesla-t4-vws", "gpu_count": 2},
        {"local_ssd_gb": 750, "machine_type": "c3-standard-8-lssd"},
        {"local_ssd_gb": 750, "machine_type": "n2-standard-16"},
        {"local_ssd_gb": 9000, "machine_type": "n2-highmem-128"},
        {"local_ssd_gb": 1125, "machine_type": "n1-standard-1", "vcpus": 1},
        {"local_ssd_gb": 1125, "machine_type": "custom-4-8192"},
        {"local_ssd_gb": 18000, "machine_type": "c4-standard-288-lssd"},
        {"local_ssd_gb": 18000, "machine_type": "c4-standard-288-lssd-metal"},
        {"local_ssd_gb": 1500, "machine_type": "m3-ultramem-64"},
        {"local_ssd_gb": 375, "machine_type": "m1-megamem-96"},
        {"local_ssd_gb": 6000, "machine_type": "a3-megagpu-8g"},
        {"local_ssd_gb": 1125, "machine_type": "n5-standard-8"},
        {"machine_type": "n1-standard-1", "vcpus": 1},
        {"machine_type": "n2-standard-8", "vcpus": 8, "memory": "32GB"},
        {"machine_type": "a2-highgpu-1g", "vcpus": 12, "memory": "85GB"},
        {"machine_type": "g2-standard-4", "vcpus": 4, "memory": "16GB"},
        {"machine_type": "x9-standard-8", "vcpus": 8, "memory": "500GB"},
        {"machine_type": "x4-480-8t-metal", "vcpus": 480, "memory": "8TB"},
        {"machine_type": "n1-standard-32", "vcpus": 32, "gpu_type": "nvidia-tesla-t4"},
        {"machine_type": "n1-standard-96", "vcpus": 96, "gpu_type": "nvidia-tesla-v100", "gpu_count": 8},
        {"vcpus": 16, "gpu_type": "nvidia-tesla-p100"},
        {"boot_disk_type": "pd-ssd", "machine_type": "n2-standard-8"},
        {"boot_disk_type": "hyperdisk-balanced", "machine_type": "c3-standard-8"},
        {"boot_disk_type": "pd-standard", "machine_type": "e2-standard-8"},
        {"external_ip": False, "network": "n", "subnetwork": "s"},
        {"zones": ["us-east1-b"], "region": "us-east1"},
        {"memory": "much", "zones": [7]},
        # Only the value that is wrong by itself is one
        {"local_ssd_gb": 375, "machine_type": "n2-standrad-4"},
        {"provisioning": "RESERVATION:mine", "machine_type": "n2-standard-5"},
        {"gpu_count": 2, "gpu_type": "t4"},
        {"region": "eu-west1", "zones": ["europe-west1-b"]},
        {"external_ip": False, "network": "My Net", "subnetwork": "s"},
        {"spot_fallback": True, "spot": "yes"},
        {"registry_username": "me", "registry_password": "to ken"},
    ],
)
def test_options_that_can_stand_together_are_left_in_peace(options: dict[str, Any]) -> None:
    assert settings.contradictions(settings.resolve(options, {})) == []


def test_a_fallback_that_only_the_file_wants_goes_with_spot() -> None:
    values = settings.resolve({"spot": False}, {"spot": True, "spot_fallback": True})
    assert (values["spot"], values["spot_fallback"]) == (False, False)


@pytest.mark.parametrize(
    ("options", "accelerators", "drivers"),
    [
        ({}, 0, False),
        ({"gpu_type": "nvidia-tesla-t4"}, 1, True),
        ({"gpu_type": "nvidia-tesla-t4", "gpu_count": 4, "machine_type": "n1-standard-8"}, 4, True),
        ({"machine_type": "a2-highgpu-1g"}, 0, True),
        ({"machine_type": "n2-standard-4"}, 0, False),
        ({"gpu_count": 0}, 0, False),
    ],
)
def test_gpus_and_their_drivers_follow_from_type_and_count(
    options: dict[str, Any], accelerators: int, drivers: bool
) -> None:
    checked = check(**options)
    assert (checked.accelerators, checked.needs_gpu_drivers) == (accelerators, drivers)


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("bucket", "bucket_name"),
        ("vcpu", "vcpus"),
        ("image", None),
        ("timelimit", "time_limit"),
        ("serviceaccount", "service_account_email"),
        ("poll_frequency", "poll_freq"),
        ("zzz", None),
    ],
)
def test_the_nearest_option_of_a_mistyped_name(mistyped: str, meant: str | None) -> None:
    assert settings.nearest(mistyped, settings.OPTIONS) == meant


@given(
    st.dictionaries(
        st.sampled_from(list(settings.OPTIONS)),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.lists(st.integers())
        | st.dictionaries(st.text(), st.text() | st.integers()),
    )
)
def test_any_values_make_settings_or_a_settings_error(values: dict[str, Any]) -> None:
    try:
        checked = settings.check(settings.resolve(values, {}))
    except SettingsError as error:
        assert error.mistakes
    else:
        assert settings.check(settings.resolve(vars(checked), {})) == checked


def test_a_password_in_a_wrong_value_is_not_repeated() -> None:
    (mistake,) = settings.mistakes_in({"requirements": ["-i https://me:hunter2@example.com/simple", "six !"]})
    assert "hunter2" not in mistake
    assert "https://****@example.com/simple" in mistake


def test_a_password_with_an_at_sign_is_hidden_whole() -> None:
    (mistake,) = settings.mistakes_in({"requirements": ["-i https://me:hunter2@home@example.com/simple", "six !"]})
    assert "home" not in mistake


@pytest.mark.parametrize("name", list(settings.OPTIONS))
def test_what_cannot_be_shown_is_refused_all_the_same(name: str) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    for value in (10**5000, nested):
        assert len(settings.mistakes_in({name: value})) == 1


class Odd:
    """A value whose class does what no option expects."""

    def __init__(self, **methods: Any):
        self.methods = methods

    def __repr__(self) -> str:
        return str(self.methods["repr"]())

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth of it is ambiguous")

    __hash__ = None  # type: ignore[assignment]


def exits() -> NoReturn:
    raise SystemExit(3)


def shared_list() -> list[Any]:
    shared: list[Any] = [0]
    for _ in range(60):
        shared = [shared, shared]
    return shared


ODD: dict[str, Callable[[], Any]] = {
    "long text": lambda: "x" * 50_000_000,
    "long bytes": lambda: b"x" * 50_000_000,
    "long entries": lambda: ["x" * 10_000_000] * 5,
    "long keys": lambda: {"k" * 10_000_000: "v"},
    "long integer": lambda: 10**10000,
    "shared": shared_list,
    "leaves": lambda: Odd(repr=exits),
    "raises": lambda: {"a": Odd(repr=len)},
}


@pytest.mark.parametrize("name", ["memory", "labels", "zones", "machine_type", "gpu_type", "spot"])
@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_whatever_an_option_is_given_the_mistake_is_told_in_short(name: str, make: Callable[[], Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve_options(NEEDED | {name: make()}, {})
    assert f"{name} = " in str(caught.value)
    assert len(str(caught.value)) < 10_000
