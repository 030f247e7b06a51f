"""The envelope: what is sealed comes back byte for byte, and nothing else does."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.protocol.envelope import (
    CALL,
    CHUNK_BYTES,
    MAGIC,
    MAPPED_BYTES,
    OUTCOME,
    ForgedError,
    Part,
    TruncatedError,
    UnknownVersionError,
    WireError,
    _seal_of,
    envelope_chunks,
    envelope_size,
    file_part,
    python_minor,
    read_header,
    read_part,
    seal_envelope,
    view_part,
)
from covalent_parallel_plugin.protocol.environment import ENV_KEY, remove_key
from covalent_parallel_plugin.protocol.identity import task_binding
from covalent_parallel_plugin.protocol.limits import MAX_HEADER_VALUES

KEY = b"k" * 32
BOUND_TO = task_binding(OUTCOME, "call-1", 3)
HEADER = {"kind": OUTCOME, "call_id": "call-1"}
PARTS: dict[str, Part] = {"stdout": b"out", "empty": b"", "value": bytes(range(256))}

part_tables = st.dictionaries(st.text(max_size=8), st.binary(max_size=64), max_size=4)


def sealed(
    parts: dict[str, Part] | None = None, key: bytes = KEY, bound_to: bytes = BOUND_TO, header: Any = None
) -> bytes:
    parts = PARTS if parts is None else parts
    return b"".join(envelope_chunks(seal_envelope(HEADER if header is None else header, parts, key, bound_to), parts))


def opened(data: bytes, key: bytes = KEY, bound_to: bytes = BOUND_TO) -> dict[str, bytes]:
    stream = io.BytesIO(data)
    envelope = read_header(stream, key, bound_to)
    return {entry.name: read_part(stream, envelope, entry.name) for entry in envelope.parts}


@given(part_tables, st.dictionaries(st.text(max_size=5).filter(lambda name: name != "parts"), st.integers()))
def test_header_and_parts_come_back(parts: dict[str, Part], header: dict[str, int]) -> None:
    data = sealed(parts, header=header)
    assert opened(data) == parts
    read = dict(read_header(io.BytesIO(data), KEY, BOUND_TO).header)
    del read["parts"]
    assert read == header


def test_the_header_can_be_read_without_the_key() -> None:
    data = sealed()
    length = int.from_bytes(data[8:12], "big")
    assert json.loads(data[12 : 12 + length])["call_id"] == "call-1"


def test_the_sizes_told_are_the_true_ones(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"abc")
    parts: dict[str, Part] = {**PARTS, "file": file_part(str(path))}
    prefix = seal_envelope(HEADER, parts, KEY, BOUND_TO)
    data = b"".join(envelope_chunks(prefix, parts))
    assert len(data) == envelope_size(prefix, parts) == read_header(io.BytesIO(data), KEY, BOUND_TO).size


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
def test_a_part_in_a_file_is_the_same_as_one_in_memory(tmp_path: Path, size: int) -> None:
    path = tmp_path / "part"
    path.write_bytes(os.urandom(size))
    assert sealed({"value": file_part(str(path))}) == sealed({"value": path.read_bytes()})


def test_parts_in_files_are_given_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"x" * (5 * CHUNK_BYTES))
    pieces = list(envelope_chunks(b"", {"value": file_part(str(path))}))
    assert max(map(len, pieces)) == CHUNK_BYTES


def test_a_file_that_changes_after_the_sealing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"before")
    parts: dict[str, Part] = {"value": file_part(str(path))}
    prefix = seal_envelope(HEADER, parts, KEY, BOUND_TO)
    path.write_bytes(b"after!")
    with pytest.raises(ForgedError):
        opened(b"".join(envelope_chunks(prefix, parts)))


def one_of_these_or_refused(data: bytes, *sealed_parts: dict[str, Part]) -> None:
    try:
        found = opened(data)
    except WireError:
        return
    assert found in sealed_parts


@given(st.integers(0, len(sealed()) * 8 - 1))
def test_no_flipped_bit_passes(bit: int) -> None:
    data = bytearray(sealed())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError):
        opened(bytes(data))


@given(st.integers(0, len(sealed()) - 1))
def test_no_truncation_passes(length: int) -> None:
    with pytest.raises(WireError):
        opened(sealed()[:length])


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_refused(data: bytes) -> None:
    for start in (b"", MAGIC):
        with pytest.raises(WireError):
            opened(start + data)


@given(st.integers(0, len(sealed())), st.integers(0, len(sealed())), st.binary(max_size=20))
def test_a_splice_is_refused_or_changes_nothing(start: int, end: int, between: bytes) -> None:
    one_of_these_or_refused(sealed()[:start] + between + sealed()[end:], PARTS)


@given(part_tables, st.integers(0, 400))
def test_the_start_of_one_envelope_and_the_end_of_another_make_no_third(other: dict[str, Part], at: int) -> None:
    one_of_these_or_refused(sealed()[:at] + sealed(other)[at:], PARTS, other)


def test_parts_cannot_change_places() -> None:
    one, other = sealed({"a": b"1", "b": b"2"}), sealed({"a": b"2", "b": b"1"})
    assert opened(one) != opened(other)
    with pytest.raises(WireError):
        opened(one[:-2] + other[-2:])


@given(st.binary(min_size=1, max_size=64).filter(lambda key: key.rstrip(b"\0") != KEY))
def test_a_foreign_key_is_refused(key: bytes) -> None:
    with pytest.raises(ForgedError):
        opened(sealed(), key=key)


@pytest.mark.parametrize(
    "foreign",
    [
        task_binding(CALL, "call-1", 3),
        task_binding(OUTCOME, "call-2", 3),
        task_binding(OUTCOME, "call-1", 0),
        task_binding(OUTCOME, "call-1", 3, 0),
        b"",
    ],
)
def test_an_envelope_made_for_something_else_is_refused(foreign: bytes) -> None:
    with pytest.raises(ForgedError):
        opened(sealed(), bound_to=foreign)


@given(
    st.tuples(st.text(), st.text(), st.integers(), st.none() | st.integers()),
    st.tuples(st.text(), st.text(), st.integers(), st.none() | st.integers()),
)
def test_bindings_are_equal_only_if_all_their_parts_are(one: Any, other: Any) -> None:
    assert (task_binding(*one) == task_binding(*other)) == (one == other)


def test_no_byte_can_move_between_the_binding_and_what_is_sealed() -> None:
    assert _seal_of(b"bc", KEY, b"a") != _seal_of(b"c", KEY, b"ab")


def test_another_version_is_told_as_such() -> None:
    with pytest.raises(UnknownVersionError, match="version 1"):
        opened(MAGIC[:-1] + b"\x02" + sealed()[8:])


def sealed_text(text: bytes) -> io.BytesIO:
    start = MAGIC + len(text).to_bytes(4, "big") + text
    return io.BytesIO(start + _seal_of(start, KEY, BOUND_TO))


@pytest.mark.parametrize(
    "unit",
    [b"[],", b"{},", b'{"":1},', b"[" * 500 + b"]" * 500 + b",", b"1,", b'"ab",', b'"",', b'"\\\\",', b'"\\"",'],
    ids=lambda unit: unit[:8].decode(),
)
def test_a_sealed_header_of_many_values_is_refused_before_they_are_made(unit: bytes) -> None:
    count = 2 * MAX_HEADER_VALUES if unit[0] in b'{"1' or len(unit) < 10 else MAX_HEADER_VALUES // 400
    stream = sealed_text(b'{"parts":[],"x":[' + unit * count + b"0]}")
    size = len(stream.getbuffer())
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="more than 1048576 values"):
            read_header(stream, KEY, BOUND_TO)
        assert tracemalloc.get_traced_memory()[1] < 5 * size
    finally:
        tracemalloc.stop()


def test_what_stands_in_the_texts_of_a_header_is_not_counted() -> None:
    text = '[{,\\"' * MAX_HEADER_VALUES
    found = read_header(io.BytesIO(sealed({}, header={"text": text, '"': ["\\"]})), KEY, BOUND_TO).header
    assert (found["text"], found['"']) == (text, ["\\"])


def test_an_unknown_part_is_refused_by_name() -> None:
    stream = io.BytesIO(sealed())
    envelope = read_header(stream, KEY, BOUND_TO)
    assert envelope.has("value")
    assert not envelope.has("other")
    with pytest.raises(WireError, match="'other'"):
        read_part(stream, envelope, "other")


LARGE = os.urandom(MAPPED_BYTES + 1)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[BinaryIO]:
    path = tmp_path / "object"
    path.write_bytes(sealed({**PARTS, "large": LARGE, "last": b"x"}))
    with path.open("r+b") as file:
        yield file


@pytest.mark.parametrize("name", ["stdout", "empty", "value", "large", "last"])
def test_a_view_of_a_part_has_its_bytes(large: BinaryIO, name: str) -> None:
    envelope = read_header(large, KEY, BOUND_TO)
    assert bytes(view_part(large, envelope, name)) == {**PARTS, "large": LARGE, "last": b"x"}[name]


def test_a_view_of_a_large_part_is_no_copy(large: BinaryIO) -> None:
    envelope = read_header(large, KEY, BOUND_TO)
    assert isinstance(view_part(large, envelope, "large"), memoryview)


def test_a_view_of_a_changed_part_is_refused(large: BinaryIO) -> None:
    envelope = read_header(large, KEY, BOUND_TO)
    large.seek(envelope.body_offset + envelope.entry("large").offset)
    large.write(bytes(8))
    large.flush()
    with pytest.raises(ForgedError, match="'large'"):
        view_part(large, envelope, "large")
    with pytest.raises(ForgedError, match="'large'"):
        view_part(large, envelope, "large", hashlib.sha256(bytes(8)).hexdigest())


def test_a_view_of_a_part_that_is_cut_off_is_refused(large: BinaryIO) -> None:
    envelope = read_header(large, KEY, BOUND_TO)
    large.truncate(envelope.size - 100)
    with pytest.raises(TruncatedError, match="'large'"):
        view_part(large, envelope, "large")


def test_a_header_that_is_too_large_is_not_read() -> None:
    with pytest.raises(WireError, match="4294967295"):
        opened(MAGIC + b"\xff" * 4)


def test_a_sealed_header_that_makes_no_sense_is_refused() -> None:
    """As a container could write it that holds the key."""
    for text in (b"{}", b"[]", b"null", b'{"parts":1}', b'{"parts":[["a"]]}', b'{"parts":[["a","x","y"]]}', b"\xff"):
        start = MAGIC + len(text).to_bytes(4, "big") + text
        with pytest.raises(WireError):
            opened(start + _seal_of(start, KEY, BOUND_TO))


def test_a_sealed_header_that_is_nested_too_deeply_is_refused() -> None:
    text = b'{"parts":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    start = MAGIC + len(text).to_bytes(4, "big") + text
    with pytest.raises(WireError):
        opened(start + _seal_of(start, KEY, BOUND_TO))


@pytest.mark.parametrize(
    "table", ['[["a",-5,"00"]]', '[["a",1e400,"00"]]', '[["a",NaN,"00"]]', '[["a",99999999999999999999,"00"]]']
)
def test_a_sealed_part_of_an_impossible_size_is_refused(table: str) -> None:
    text = b'{"parts":%s}' % table.encode()
    start = MAGIC + len(text).to_bytes(4, "big") + text
    with pytest.raises(WireError):
        opened(start + _seal_of(start, KEY, BOUND_TO) + b"body")


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"x" * 3_000_000)
    part = file_part(str(path))
    assert (part.size, part.sha256) == (3_000_000, hashlib.sha256(path.read_bytes()).hexdigest())


def test_the_key_leaves_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_KEY, "00ff")
    assert remove_key(os.environ) == b"\x00\xff"
    assert ENV_KEY not in os.environ


@pytest.mark.parametrize(("version", "minor"), [("3.11.7", "3.11"), ("3.10.0rc1", "3.10"), ("3.12", "3.12")])
def test_the_minor_version_is_the_first_two_numbers(version: str, minor: str) -> None:
    assert python_minor(version) == minor
