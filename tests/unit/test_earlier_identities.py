"""The identity of a call in the dispatches that its own one continues: the same after a restart, on another day."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from covalent_parallel_plugin.electron.call import Call, Map, earlier_identities, new_identity, with_sha256
from covalent_parallel_plugin.electron.modules.archive import ModulesArchive, make_archive
from covalent_parallel_plugin.electron.modules.module_files import ModuleFile
from covalent_parallel_plugin.electron.server_secret import ServerSecret

SECRET = ServerSecret(bytes(32))
CALL = with_sha256(Call("first", 3, "train", "3.11.7", "0.240.0", args=1, lattice="flow"), {"function": b"f"})


def archive_of(path: Path) -> ModulesArchive:
    return make_archive([ModuleFile("own.py", str(path), path.stat().st_size, 0o644)], ["own"])


def test_a_resumed_call_has_the_identity_that_each_dispatch_before_it_gave_its_own(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("x = 1\n")
    sent = new_identity(replace(CALL, modules=archive_of(own)), ("numpy",), SECRET)
    os.utime(own, (1, 1))
    lineage = ("third", "second", "first")
    call = replace(CALL, dispatch_id="third", lineage=lineage, lattice="", modules=archive_of(own))
    again = earlier_identities(call, ("numpy",), SECRET)
    assert again[-1] == sent and [each.folder.split("/")[1] for each in again] == ["second", "first"]
    assert str(call) == str(replace(call, dispatch_id="first")) == "electron 'train' (node 3 of dispatch third)"
    own.write_text("x = 2\n")
    assert earlier_identities(replace(call, modules=archive_of(own)), ("numpy",), SECRET)[-1] != sent
    assert earlier_identities(call, ("scipy",), SECRET)[-1] != sent


def test_what_was_done_of_a_map_before_does_not_make_it_another_one() -> None:
    call = replace(CALL, map=Map(6))
    continued = replace(call, map=Map(6, earlier=("zeroth", 3, "0123456789abcdef")))
    assert new_identity(call, (), SECRET) == new_identity(continued, (), SECRET)
    assert new_identity(replace(call, map=Map(7)), (), SECRET) != new_identity(call, (), SECRET)
