"""Names of a sweep's objects of output that tasks deliver while they run: made, read, and in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.protocol import sweep_objects
from covalent_parallel_plugin.protocol.sweep_identity import SweepIdentity
from covalent_parallel_plugin.protocol.sweep_objects import LiveName, live_name, parse_delivered, parse_live

FOLDER = "covalent-sweeps/art/0123456789ab"
TOKEN = "0123456789abcdef"

places = st.builds(
    LiveName,
    st.integers(0, 10**4),
    st.integers(0, 10**9),
    st.integers(0, 10**4),
    st.text("0123456789abcdef", min_size=16, max_size=16),
    st.integers(0, 10**9),
)


@given(places)
def test_a_name_is_read_as_it_was_made(place: LiveName) -> None:
    name = live_name(FOLDER, *place)
    assert parse_live(FOLDER, name) == place
    assert parse_delivered(FOLDER, name) is None
    task = SweepIdentity("id", b"k", FOLDER).task(place.round, place.task)
    assert name.startswith(task.live_prefix)
    assert task.execution(place.token).live_name(place.attempt, place.number) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "covalent-sweeps/art/another/round-0/live/0000001-000-0123456789abcdef-0000000",
        f"{FOLDER}/round-0/live/0000001-000-0123456789abcdef-00000000",
        f"{FOLDER}/round-0/live/0000001-0000-0123456789abcdef-0000000",
        f"{FOLDER}/round-0/live/1-000-0123456789abcdef-0000000",
        f"{FOLDER}/round-00/live/0000001-000-0123456789abcdef-0000000",
        f"{FOLDER}/round-0/live/0000001-000-0123456789ABCDEF-0000000",
        f"{FOLDER}/round-0/live/0000001-000-0123456789abcdef-0000000/x",
        f"{FOLDER}/round-0/attempts/0000001-0-0123456789abcdef",
    ],
)
def test_what_no_task_writes_is_not_read(name: str) -> None:
    assert parse_live(FOLDER, name) is None


def test_parts_are_listed_in_their_order() -> None:
    parts = [(attempt, number) for attempt in (0, 1, 2, 10) for number in (0, 1, 9, 10, 99, 100, 12345)]
    names = [live_name(FOLDER, 0, 7, attempt, TOKEN, number) for attempt, number in parts]
    assert names == sorted(names)


def test_each_task_is_followed_by_its_own_object() -> None:
    sweep = SweepIdentity("id", b"k", FOLDER)
    assert sweep.task(0, 3).follow_name == sweep.task(2, 3).follow_name != sweep.task(0, 4).follow_name
    assert sweep_objects.follow_name(FOLDER, 3) == sweep.task(0, 3).follow_name
    bindings = {sweep.task(0, 3).follow_binding, sweep.task(0, 4).follow_binding}
    bindings |= {sweep.task(round, task).execution(TOKEN).live_binding(1, 2) for round in (0, 1) for task in (3, 4)}
    assert len(bindings) == 6
