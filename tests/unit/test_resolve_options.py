"""What is made of an executor's options: once for equal ones, anew where more than plain data came in."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.settings import Settings
from covalent_parallel_plugin.settings.resolve_options import MOST_REMEMBERED, settings_from

NEEDED: dict[str, Any] = {"bucket_name": "some-bucket", "project_id": "my-project"}


class Text(str):
    """Has more to it than its characters."""


def test_equal_options_make_the_same_settings() -> None:
    options = {**NEEDED, "zones": ["us-east1-b"], "labels": {"a": "b"}, "spot": True}
    assert settings_from(options) is settings_from({**options, "zones": ["us-east1-b"]})


@pytest.mark.parametrize("other", [1.0, "1", True, [1]])
def test_options_of_other_types_share_nothing(other: object) -> None:
    first = settings_from({**NEEDED, "vcpus": 1})
    try:
        assert settings_from({**NEEDED, "vcpus": other}) is not first
    except SettingsError as error:
        assert f"vcpus = {other!r}" in str(error)


@pytest.mark.parametrize("value", [numpy.float64(2), Text("2")])
def test_what_is_no_plain_data_is_read_anew_and_as_what_it_is(value: object) -> None:
    made = [settings_from({**NEEDED, "vcpus": value}) for _ in range(2)]
    assert made[0] is not made[1]
    assert made[0].vcpus == 2


def test_values_that_cannot_be_written_down_are_mistakes_like_others() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    endless: list[object] = []
    endless.append(endless)
    for value in (deep, endless, 10**5000):
        with pytest.raises(SettingsError, match="vcpus"):
            settings_from({**NEEDED, "vcpus": value})


def test_mistakes_are_told_each_time() -> None:
    for _ in range(2):
        with pytest.raises(SettingsError, match="vcpus"):
            settings_from({**NEEDED, "vcpus": -1})


def test_only_so_many_are_kept() -> None:
    first = settings_from({**NEEDED, "memory": 1})
    for memory in range(2, MOST_REMEMBERED + 2):
        settings_from({**NEEDED, "memory": memory})
    assert settings_from({**NEEDED, "memory": 1}) is not first


def test_equal_settings_have_the_same_hash() -> None:
    def made(**values: Any) -> Settings:
        return Settings(**NEEDED, **values)

    one, other = (made(labels={"a": "b", "c": "d"}, zones=["z"]), made(labels={"c": "d", "a": "b"}, zones=("z",)))
    assert one == other
    assert hash(one) == hash(other)
    assert hash(one) == hash(one)
    assert one != made(labels={"a": "c"})
