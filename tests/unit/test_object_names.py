"""Names of a call's objects: what is made is read, and nothing else is."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from covalent_parallel_plugin.protocol import object_names

FOLDER = object_names.call_folder("d-1_X", 12, "0123456789abcdef")
MAKERS = [function for name, function in inspect.getmembers(object_names, inspect.isfunction) if name.endswith("_name")]
ARGUMENTS = {"folder": FOLDER, "task_index": 3, "round": 4, "number": 5, "attempt": 6, "done": 7, "failed": 8,
             "tag": "0123456789abcdef"}  # fmt: skip


@pytest.mark.parametrize("round", [0, 4, 11])
@pytest.mark.parametrize("maker", [maker for maker in MAKERS if "folder" in inspect.signature(maker).parameters])
def test_every_name_that_is_made_is_read(maker: Callable[..., str], round: int) -> None:
    wanted = inspect.signature(maker).parameters
    for stream in object_names.STREAMS if "stream" in wanted else ("",):
        arguments = ARGUMENTS | {"round": round, "stream": stream}
        name = maker(**{key: value for key, value in arguments.items() if key in wanted})
        read = object_names.parse_name(name)
        assert read is not None, name
        assert (read.folder, read.dispatch_id, read.node_id, read.call_id) == (FOLDER, "d-1_X", 12, "0123456789abcdef")
        assert read.kind == (stream or maker.__name__.removesuffix("_name"))
        assert read.round == (round if "round" in wanted else 0)
        assert read.task == (3 if "task_index" in wanted else 0)
        assert (read.number, read.attempt) == (5 if "number" in wanted else 0, 6 if "attempt" in wanted else 0)
        assert read.tag == (ARGUMENTS["tag"] if "tag" in wanted else "")
        assert (read.done, read.failed) == ((7, 8) if "done" in wanted else (0, 0))


@pytest.mark.parametrize(
    "ending",
    ["", "/", "/call/", "/call\n", "/outcome-", "/outcome-01", "/outcome--1", "/items-0", "/stdout-0", "/stdlog-0.txt",
     "/round-0/outcome-0", "/round-01/outcome-0", "/round-1/call", "/round-1/round-2/outcome-0",
     "/attempt-0/round-1/partial-0", "/live/0-0-0", "/live/0-0-0-5.0", "/live/0-0-00-5", "/live/0-0-0--1",
     "/round-1/follow", "/checkpoint-0-1", "/checkpoint-0-1-0", "/round-1/checkpoint-0-1-0123456789abcdef"],
)  # fmt: skip
def test_what_is_never_made_is_not_read(ending: str) -> None:
    assert object_names.parse_name(FOLDER + ending) is None


def test_a_node_may_have_a_negative_number() -> None:
    name = object_names.parse_name(object_names.call_name(object_names.call_folder("d", -1, "0" * 16)))
    assert name is not None
    assert name.node_id == -1


@pytest.mark.parametrize("maker", [object_names.call_name, object_names.outcome_name, object_names.follow_name])
def test_names_in_the_cache_are_read_as_those_of_no_dispatch(maker: Callable[[str], str]) -> None:
    folder = object_names.cached_call_folder("0123456789abcdef" * 2, "0123456789abcdef")
    name = object_names.parse_name(maker(folder))
    assert name is not None
    assert (name.folder, name.dispatch_id, name.call_id) == (folder, "", "0123456789abcdef")
    assert name.cache_key == object_names.cache_key_of(maker(folder)) == "0123456789abcdef" * 2
    record = object_names.cache_record(name.cache_key)
    assert object_names.parse_name(record) is None
    assert object_names.cache_key_of(record) == name.cache_key
    assert object_names.cache_key_of(maker(FOLDER)) == ""
