"""The language of list filters."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from operator import itemgetter
from typing import Any

import pytest

from covalent_parallel_plugin.emulator.filters.filter_language import (
    Field,
    FilterError,
    FilterLanguage,
    has_key,
    number,
    parse_filter,
    parse_time,
    text,
    time,
    truth,
)
from covalent_parallel_plugin.emulator.model.log_store import nanoseconds_of

JOB: dict[str, Any] = {
    "name": "projects/p/locations/l/jobs/one",
    "status.state": "RUNNING",
    "priority": 5,
    "done": True,
    "create_time": nanoseconds_of(datetime(2024, 5, 1, 12, tzinfo=timezone.utc)),
    "labels": {"team": "physics", "my-key": "a"},
}
COMPARISONS = {
    "name": text,
    "status.state": text,
    "priority": number,
    "done": truth,
    "create_time": time,
    "labels": has_key,
}
LANGUAGE = FilterLanguage[dict[str, Any]](
    fields={name: Field(itemgetter(name), comparison) for name, comparison in COMPARISONS.items()},
    keyed={"labels": Field(itemgetter("labels"), text)},
)


def matches(text: str) -> bool:
    return parse_filter(text, LANGUAGE)(JOB)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        'status.state="RUNNING"',
        "status.state=RUNNING",
        'status.state = "RUNNING" AND labels."my-key"="a"',
        "labels.team=physics",
        'labels."team":"phys"',
        "labels:team",
        "labels.team:*",
        "labels.absent!=x",
        'create_time<="2024-05-01T12:00:00Z"',
        'create_time>"2024-05-01T13:59:59.123456789+02:00"',
        "priority>=5 priority<6",
        "done=true",
        "NOT done=false",
        "-status.state=FAILED",
        "status.state=FAILED OR status.state=RUNNING",
        "(status.state=FAILED AND done=true) OR priority=5",
        'name="*/jobs/one"',
        "status.state=RUNNING AND (labels.team=chemistry OR labels.team=physics)",
        "status.state=RUNNING OR done=false AND priority=5",
    ],
)
def test_a_filter_matches(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        'status.state="FAILED"',
        "status.state!=RUNNING",
        "labels.team=phys",
        "labels.absent=x",
        "labels:nothing",
        'create_time<"2024-05-01T12:00:00Z"',
        "priority<5",
        "NOT (done=true)",
        "status.state=RUNNING AND done=false",
        "status.state=RUNNING OR done=true AND priority=6",
        'name="*/jobs/two"',
    ],
)
def test_a_filter_does_not_match(text: str) -> None:
    assert not matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "status.state",
        "status.state=",
        "=RUNNING",
        "(status.state=RUNNING",
        "status.state=RUNNING)",
        "status.state=RUNNING AND",
        "nothing=1",
        "priority=high",
        "done=perhaps",
        "labels=team",
        'create_time>"yesterday"',
        'name="open',
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(FilterError):
        matches(text)


def test_a_time_without_offset_is_utc() -> None:
    expected = datetime(2024, 5, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
    assert parse_time("2024-05-01T12:00:00.5") == nanoseconds_of(expected)


@pytest.mark.parametrize(
    ("offset", "hours"), [("+0000", 12), ("-0000", 12), ("+0200", 10), ("-0330", 15.5), ("+02:00", 10)]
)
def test_an_offset_may_lack_its_colon_as_google_cloud_logging_writes_it(offset: str, hours: float) -> None:
    expected = datetime(2024, 5, 1, tzinfo=timezone.utc) + timedelta(hours=hours)
    assert parse_time(f"2024-05-01T12:00:00.000000{offset}") == nanoseconds_of(expected)


@pytest.mark.parametrize("offset", ["+00", "+0", "+000", "+00:0", "+2500"])
def test_another_offset_is_refused(offset: str) -> None:
    with pytest.raises(FilterError):
        parse_time(f"2024-05-01T12:00:00{offset}")
