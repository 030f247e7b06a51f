"""A disk without room: what is kept of the output, and what is told of a value or a runner that does not fit."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.protocol.envelope import EXCEPTION
from covalent_parallel_plugin.protocol.exit_codes import EXIT_NO_SPACE
from covalent_parallel_plugin.runner.outcome_report import head_and_tail
from covalent_parallel_plugin.runner.output_capture import DISK_FULL, Stream

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class SmallDisk(io.FileIO):
    """A file on a disk of which `room` bytes are left."""

    room = 100

    def write(self, data: Any) -> int:
        size = min(len(data), self.room - self.tell())
        if not size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(bytes(data[:size]))


def spooled(folder: Path, pieces: list[bytes], room: int = 100, marker: bytes = b"") -> tuple[bytes, bytes, Stream]:
    """What is kept of an electron's output and what is shown of it."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    with SmallDisk(str(folder / "spool"), "wb") as spool, (folder / "shown").open("wb") as shown:
        spool.room = room
        stream = Stream(read, spool, shown.fileno(), marker)
        for piece in pieces:
            os.write(write, piece)
            stream.pump()
        os.close(write)
        stream.pump()
        os.close(read)
    return head_and_tail(str(folder / "spool")), (folder / "shown").read_bytes(), stream


def test_output_that_does_not_fit_is_cut_with_a_note_and_shown_all_the_same(tmp_path: Path) -> None:
    data = bytes(range(65, 91)) * 10
    keeps, shows, _ = spooled(tmp_path, [data[:90], data[90:200], data[200:]])
    assert keeps == data[: 100 - len(DISK_FULL)] + DISK_FULL
    assert shows == data


def test_output_is_shown_where_nothing_at_all_can_be_kept(tmp_path: Path) -> None:
    assert spooled(tmp_path, [b"one", b"two"], room=0)[:2] == (b"", b"onetwo")


def test_items_after_a_full_disk_have_no_output(tmp_path: Path) -> None:
    *_, stream = spooled(tmp_path, [b"\0m 0\n", b"a" * 200, b"\0m 1\n", b"b" * 200], marker=b"\0m")
    assert stream.spans() == {0: (0, 100), 1: (100, 100)}


class DoesNotFit:
    """Raises while it is pickled what a full disk raises when the file is written."""

    def __reduce__(self) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_value_that_does_not_fit_on_the_disk_is_told_so(make_task: Any) -> None:
    task = make_task(DoesNotFit)
    task.run()
    raised = task.outcome().raised
    assert raised.type_name == "OSError"
    assert "the container's disk is full: raise boot_disk_gb, or the size of its --tmpfs" in raised.message


@pytest.mark.parametrize("filled", ["all of it", "not quite"])
def test_an_electron_that_fills_the_disk_leaves_a_report(make_task: Any, with_mounts: Any, filled: str) -> None:
    def electron(whole: bool) -> bytes:
        import tempfile

        if whole:
            with open(Path(tempfile.gettempdir()) / "large", "wb", 0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    return b"1"
        return os.urandom(4_000_000)

    task = make_task(electron, filled == "all of it")
    task.python = with_mounts(task.python, 'mount -t tmpfs -o size=3m none "$TMPDIR"')
    ended = task.run()
    outcome = task.outcome()
    assert outcome is not None, ended.stderr
    assert outcome.kind == EXCEPTION, ended.stderr
    assert "the container's disk is full" in outcome.raised.message


def test_a_runner_that_does_not_fit_on_the_disk_is_told_so(make_task: Any, with_mounts: Any) -> None:
    task = make_task(len, [])
    task.python = with_mounts(task.python, 'mkdir "$HOME/.cache"', 'mount -t tmpfs -o size=8k none "$HOME/.cache"')
    ended = task.run()
    assert ended.status == EXIT_NO_SPACE
    assert "the runner cannot be written" in ended.stderr
    assert "No space left on device: raise boot_disk_gb, or the size of its --tmpfs" in ended.stderr


def test_a_call_that_does_not_fit_on_the_disk_is_told_so(make_task: Any, with_mounts: Any) -> None:
    task = make_task(len, os.urandom(4_000_000))
    task.python = with_mounts(task.python, 'mount -t tmpfs -o size=3m none "$TMPDIR"')
    ended = task.run()
    assert ended.status == EXIT_NO_SPACE
    assert "the container's disk is full: raise boot_disk_gb, or the size of its --tmpfs" in ended.stderr
