"""The dispatches that a resumed dispatch continues, as its lattice's executor_data names them."""

from __future__ import annotations

import json

import pytest

from covalent_parallel_plugin.covalent_api.lineage import FIELD, read_lineage, with_lineage


def test_a_resumed_dispatch_names_what_it_continues_the_nearest_first() -> None:
    stored = json.loads(json.dumps(with_lineage({"short_name": "local"}, "third", ("second", "first"))))
    assert read_lineage(stored, "third") == ("second", "first")
    assert stored["short_name"] == "local"


def test_a_dispatch_that_copies_the_executor_data_of_a_resumed_one_continues_nothing() -> None:
    assert read_lineage(with_lineage({}, "second", ("first",)), "redispatched") == ()


@pytest.mark.parametrize("note", [None, [], "x", {}, {"dispatch": "d"}, {"dispatch": "d", "ancestors": "abc"}])
def test_what_others_wrote_there_names_nothing(note: object) -> None:
    assert read_lineage({FIELD: note}, "d") == ()
