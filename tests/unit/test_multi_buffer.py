"""Pieces in memory as the file that Google's client uploads."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.cloud.multi_buffer import SEND_BYTES, MultiBufferReader

steps = st.lists(st.tuples(st.sampled_from(["read", "seek"]), st.integers(-1, 40)), max_size=10)


@given(st.lists(st.binary(max_size=10), max_size=5), steps)
def test_it_reads_as_the_file_of_all_pieces_does(pieces: list[bytes], steps: list[tuple[str, int]]) -> None:
    reader, file = MultiBufferReader(pieces), io.BytesIO(b"".join(pieces))
    assert reader.size == len(file.getvalue())
    for step, number in steps:
        if step == "read":
            stretch = reader.read(number)
            data = file.read(number)
            assert (b"".join(stretch), len(stretch)) == (data, len(data))
        else:
            assert reader.seek(max(number, 0)) == file.seek(max(number, 0))
        assert reader.tell() == file.tell()


@pytest.mark.parametrize(("offset", "whence"), [(3, os.SEEK_SET), (-2, os.SEEK_CUR), (-3, os.SEEK_END)])
def test_it_seeks_from_everywhere(offset: int, whence: int) -> None:
    reader, file = MultiBufferReader([b"abc", b"defg"]), io.BytesIO(b"abcdefg")
    reader.seek(4)
    file.seek(4)
    assert reader.seek(offset, whence) == file.seek(offset, whence)
    assert b"".join(reader.read()) == file.read()


def test_what_is_sent_is_no_copy_and_can_be_sent_again() -> None:
    piece = bytearray(3 * SEND_BYTES + 1)
    stretch = MultiBufferReader([piece]).read()
    piece[0], piece[-1] = 1, 2
    for _ in range(2):
        views = list(stretch)
        assert [len(view) for view in views] == [SEND_BYTES] * 3 + [1]
        assert (views[0][0], views[-1][0]) == (1, 2)
