"""A checkpoint's folder comes back as it was, and nothing that is packed leads out of the folder."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.protocol.envelope import WireError
from covalent_parallel_plugin.runner import checkpoint_pack
from covalent_parallel_plugin.runner.checkpoint_pack import ChangedError, PackError, folder_state, pack, unpack


def packed(folder: Path) -> bytes:
    file = io.BytesIO()
    found = pack(str(folder), file)
    data = file.getvalue()
    assert found.size == len(data)
    return data


def unpacked(data: bytes, folder: Path) -> Path:
    folder.mkdir()
    unpack(io.BytesIO(data), len(data), str(folder))
    return folder


def test_files_folders_modes_times_and_odd_names_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (folder / "empty").mkdir()
    long_name, odd_name = "x" * 255, os.fsdecode(b"caf\xe9 \n \xf0\x9f\x8d\x8e")
    contents = {"model.bin": os.urandom(3_000_000), "a/b/none": b"", f"a/{long_name}": b"1", odd_name: b"2"}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "model.bin").chmod(0o4751)
    os.utime(folder / "model.bin", (1_000_000_000.5, 1_000_000_000.5))
    inner.chmod(0o500)
    (folder / "latest").symlink_to("model.bin")
    (inner / "up").symlink_to("../../a/b/none")
    found = unpacked(packed(folder), tmp_path / "back")
    assert {name: (found / name).read_bytes() for name in contents} == contents
    assert stat.S_IMODE((found / "model.bin").stat().st_mode) == 0o751
    assert (found / "model.bin").stat().st_mtime == 1_000_000_000.5
    assert stat.S_IMODE((found / "a" / "b").stat().st_mode) == 0o500
    assert (found / "empty").is_dir() and (found / "latest").read_bytes() == contents["model.bin"]
    assert (found / "a" / "b" / "up").readlink() == Path("../../a/b/none")
    assert sorted(path.relative_to(found) for path in found.rglob("*")) == sorted(
        path.relative_to(folder) for path in folder.rglob("*")
    )


def test_a_file_with_holes_takes_what_it_takes_on_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with (folder / "map").open("wb") as file:
        file.truncate(20 * 2**30)
        for offset in (0, 2**30, 20 * 2**30 - 4096):
            file.seek(offset)
            file.write(b"d" * 4096)
    (folder / "hole").touch()
    os.truncate(folder / "hole", 12_345)
    data = packed(folder)
    assert len(data) < 10 * 2**20
    found = unpacked(data, tmp_path / "back")
    assert (found / "map").stat().st_size == 20 * 2**30 and (found / "hole").read_bytes() == bytes(12_345)
    with (found / "map").open("rb") as file:
        file.seek(2**30)
        assert file.read(8192) == b"d" * 4096 + bytes(4096)
        file.seek(20 * 2**30 - 4096)
        assert file.read() == b"d" * 4096


def test_links_that_lead_out_sockets_and_pipes_are_left_out_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    for name, target in (("root", "/etc/passwd"), ("up", ".."), ("a/over", "../../x"), ("round", "a/../../x")):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    (folder / "kept").write_text("1")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        file = io.BytesIO()
        found = pack(str(folder), file)
    assert sorted(" ".join(found.left_out).split().count(word) for word in ("link", "neither")) == [2, 4]
    back = unpacked(file.getvalue(), tmp_path / "back")
    assert sorted(path.name for path in back.rglob("*")) == ["a", "kept"]


def test_many_files_in_deep_folders_are_packed(tmp_path: Path) -> None:
    folder = deep = tmp_path / "folder"
    for _ in range(200):
        deep = deep / "d"
    deep.mkdir(parents=True)
    for number in range(5000):
        (folder / str(number)).write_bytes(b"%d" % number)
    (deep / "last").write_text("1")
    found = unpacked(packed(folder), tmp_path / "back")
    assert sum(path.is_file() for path in found.rglob("*")) == 5001
    assert (found / "4999").read_bytes() == b"4999"


def test_what_is_too_large_or_cannot_be_read_is_refused_with_the_remedy(
    tmp_path: Path,
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.write(b"x" * 3_000_000)
    with pytest.raises(PackError, match="keep less there"):
        folder_state(str(tmp_path), 2**20)
    with pytest.raises(PackError, match="keep less there"):
        pack(str(tmp_path), io.BytesIO(), 2**20)
    os.truncate(tmp_path / "large", checkpoint_pack.LONGEST_FILE + 1)
    with pytest.raises(PackError, match="large is longer than 8796093022208 bytes, holes included: make it shorter"):
        pack(str(tmp_path), io.BytesIO())
    (tmp_path / "large").unlink()
    for number in range(4):
        (tmp_path / str(number)).touch()
    with pytest.raises(PackError, match="more than 3 files"):
        folder_state(str(tmp_path), most_entries=3)
    with pytest.raises(ChangedError):
        folder_state(str(tmp_path / "gone"))


@pytest.mark.parametrize("change", [
    lambda file: file.write_bytes(b"y" * 3_000_000),
    lambda file: os.truncate(file, 5),
    lambda file: file.chmod(0o600),
])  # fmt: skip
def test_a_file_that_changes_while_it_is_packed_makes_the_pack_useless(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    file = tmp_path / "state"
    file.write_bytes(b"x" * 3_000_000)

    class Interrupted(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 1_500_000:
                change(file)
            return super().write(data)

    with pytest.raises(ChangedError):
        pack(str(tmp_path), Interrupted())


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0)
    with pytest.raises(PackError, match="secret cannot be read: Permission denied"):
        packed(tmp_path)


def test_each_change_gives_another_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "state"
    seen = {folder_state(str(tmp_path)).fingerprint}
    changes = (
        lambda: file.write_text("1"),
        lambda: os.utime(file, (1, 1)),
        lambda: file.chmod(0o600),
        lambda: (tmp_path / "d").mkdir(),
        lambda: file.rename(tmp_path / "d" / "state"),
        lambda: (tmp_path / "d" / "link").symlink_to("state"),
        lambda: (tmp_path / "d" / "state").unlink(),
    )
    for number, change in enumerate(changes, 2):
        change()
        seen.add(folder_state(str(tmp_path)).fingerprint)
        assert len(seen) == number
    assert folder_state(str(tmp_path)).fingerprint in seen


def entries(*lines: object, data: bytes = b"") -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines) + data


@pytest.mark.parametrize(
    "data",
    [
        entries(["f", "../x", 0o600, 0, 0, []]),
        entries(["f", "/tmp/x", 0o600, 0, 0, []]),
        entries(["f", "a/x", 0o600, 0, 0, []]),
        entries(["d", "..", 0o700, 0]),
        entries(["d", "a", 0o700, 0], ["f", "a/../x", 0o600, 0, 0, []]),
        entries(["d", "a", 0o700, 0], ["f", "a//x", 0o600, 0, 0, []]),
        entries(["f", "", 0o600, 0, 0, []]),
        entries(["f", "a\0b", 0o600, 0, 0, []]),
        entries(["f", "a", 0o600, 0, 0, []], ["f", "a", 0o600, 0, 0, []]),
        entries(["f", "a", 0o600, 0, 0, []], ["d", "a", 0o700, 0]),
        entries(["l", "a", "/etc"]),
        entries(["l", "a", "b/../../x"]),
        entries(["l", "a", "b"], ["l", "a", "c"]),
        entries(["l", "a", "b"], ["f", "a/x", 0o600, 0, 0, []]),
        entries(["l", "a", "b"], ["f", "a", 0o600, 0, 0, []]),
        entries(["c", "null", 0o600, 0]),
        entries(["f", "a", 0o600, 0, 10, [[0, 10]]], data=b"short"),
        entries(["f", "a", 0o600, 0, 10, [[5, 10]]], data=b"0123456789"),
        entries(["f", "a", 0o600, 0, 10, [[5, 5], [0, 5]]], data=b"0123456789"),
        entries(["f", "a", 0o600, 0, -1, []]),
        entries(["f", "a", 0o600, 0, 2**60, []]),
        entries(["f", "a", 0o600, 1e300, 0, []]),
        entries(["f", "a", "7", 0, 0, []]),
        entries(["f", "a", 0o600, 0, 0, 7]),
        entries(["f", "\ud800", 0o600, 0, 0, []]),
        entries(["f", "n" * 300, 0o600, 0, 0, []]),
        entries(["f"], {}, 7),
        b"[" * 100_000,
        b"\xff\n",
        b"x" * (2 * checkpoint_pack.LONGEST_LINE),
    ],
)
def test_what_makes_no_sense_or_leads_out_is_refused_and_writes_nothing_outside(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(WireError):
        unpacked(data, tmp_path / "in" / "folder")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["folder"]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_mode_brings_no_setuid_bit(tmp_path: Path) -> None:
    found = unpacked(entries(["f", "a", 0o107777, 0, 0, []], ["d", "b", 0o6777, 0]), tmp_path / "back")
    assert [stat.S_IMODE((found / name).stat().st_mode) for name in "ab"] == [0o777, 0o777]
