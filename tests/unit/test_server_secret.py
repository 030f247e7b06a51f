"""The server's secret: the file that holds it, and the ids and keys that are derived from it."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import own_covalent
import pytest

own_covalent.load()

from covalent_parallel_plugin.covalent_api.secret_file import read_secret, server_secret  # noqa: E402
from covalent_parallel_plugin.electron.call import Call, new_identity, with_sha256  # noqa: E402
from covalent_parallel_plugin.electron.server_secret import ServerSecret  # noqa: E402
from covalent_parallel_plugin.errors import SecretFileError  # noqa: E402
from covalent_parallel_plugin.protocol.object_names import call_name, parse_name  # noqa: E402

SECRET = ServerSecret(bytes(range(32)))
PICKLES = {"function": b"f", "arg0": b"1"}
CALL = with_sha256(Call("d", 0, "f", "3.11.7", "0.240.0", args=1), PICKLES)


def identity(
    call: Call = CALL, requirements: tuple[str, ...] = (), secret: ServerSecret = SECRET, nonce: str = ""
) -> str:
    return new_identity(call, requirements, secret, nonce).call_id


def test_the_same_content_has_the_same_identity() -> None:
    again = with_sha256(replace(CALL, sha256={}), dict(PICKLES))
    assert new_identity(again, (), ServerSecret(bytes(range(32)))) == new_identity(CALL, (), SECRET)


def test_whatever_differs_gives_another_id() -> None:
    others = [
        identity(replace(CALL, dispatch_id="e")),
        identity(replace(CALL, node_id=1)),
        identity(replace(CALL, python="3.12.0")),
        identity(with_sha256(CALL, PICKLES | {"arg0": b"2"})),
        identity(with_sha256(CALL, {"function": b"1", "arg0": b"f"})),
        identity(requirements=("numpy",)),
        identity(secret=ServerSecret(bytes(32))),
        identity(nonce="1"),
    ]
    assert len({identity(), *others}) == 1 + len(others)
    assert all(len(other) == 16 and int(other, 16) >= 0 for other in others)


def test_the_key_is_derived_from_the_names_in_the_folder() -> None:
    made = new_identity(CALL, (), SECRET)
    name = parse_name(call_name(made.folder))
    assert name is not None
    assert SECRET.identity(name.dispatch_id, name.node_id, name.call_id) == made
    assert len(made.key) == 32
    keys = {
        SECRET.identity(*names).key
        for names in (("d", 0, made.call_id), ("e", 0, made.call_id), ("d", 1, made.call_id), ("d", 0, "0" * 16))
    }
    assert len(keys) == 4


def test_no_two_purposes_of_the_cache_have_the_same_key() -> None:
    key = SECRET.cache_key("0" * 64)
    first, second = (SECRET.cached_identity(key, number) for number in (0, 1))
    assert SECRET.identity_in_cache(key, first.call_id) == first
    other = SECRET.cached_identity(SECRET.cache_key("1" * 64), 0)
    common = SECRET.identity("d", 0, first.call_id)
    assert len({first.key, second.key, other.key, common.key, SECRET.record_key(key), SECRET.secret}) == 6
    assert len({first.folder, second.folder, other.folder, common.folder}) == 4


def test_the_digests_are_those_of_the_pickles() -> None:
    assert CALL.sha256 == {name: hashlib.sha256(data).hexdigest() for name, data in PICKLES.items()}


def test_the_secret_is_in_no_repr() -> None:
    assert SECRET.secret.hex() not in repr(SECRET)
    assert repr(SECRET.secret)[2:-1] not in repr(SECRET)


def test_the_file_is_made_once_for_its_owner_alone_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.key"
    before = os.umask(0)
    try:
        secret = server_secret(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [read_secret(path), server_secret(path)] == [secret, secret]
    assert [found.name for found in path.parent.iterdir()] == ["a.key"]


def test_processes_that_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    path, start = tmp_path / "folder" / "a.key", time.time() + 4
    code = f"""
import time
from pathlib import Path
from covalent_parallel_plugin.covalent_api.secret_file import server_secret
time.sleep(max(0, {start} - time.time()))
print(server_secret(Path({str(path)!r})).secret.hex())
"""
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    printed = {process.communicate(timeout=60)[0].strip() for process in running}
    assert printed == {path.read_text().strip()}


def test_a_file_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    assert read_secret(tmp_path / "a.key") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_can_use_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    server_secret(path)
    path.chmod(mode)
    with pytest.raises(SecretFileError, match=f"run `chmod 600 {path}`"):
        read_secret(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"0" * 63, b"0" * 66, b"g" * 64, b"\xff" * 64, b"0" * 10_000])
def test_a_file_with_anything_else_in_it_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecretFileError, match="does not hold the server's secret"):
        server_secret(path)
    assert path.read_bytes() == content


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.key").mkdir()
    with pytest.raises(SecretFileError, match=r"cannot be read: Is a directory\. Make it"):
        server_secret(tmp_path / "a.key")


def test_where_it_cannot_be_made_a_secret_in_memory_serves_and_a_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.key"
    assert server_secret(path) == server_secret(path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot be fetched after its end" in caplog.text
