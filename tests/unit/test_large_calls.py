"""Calls that are too large: refused before anything is uploaded, with their size."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from covalent._workflow.transportable_object import TransportableObject

from covalent_parallel_plugin.batch.cancellation import Cancellation
from covalent_parallel_plugin.covalent_api.run import run_electron
from covalent_parallel_plugin.covalent_api.transportable import CovalentCall
from covalent_parallel_plugin.electron.call import Call, refuse_too_large
from covalent_parallel_plugin.errors import CacheDirError, SettingsError
from covalent_parallel_plugin.protocol.envelope import FilePart, Part

CALL = Call("dispatch", 3, "f", "3.11.7", "0.240.0")
MIB = 2**20


@pytest.mark.parametrize(
    ("pickles", "told"),
    [
        ({"function": b"f", "arg0": b"a", "arg1": bytes(5 * MIB)}, "6 MB as pickles (5 MB of them argument 2)"),
        ({"function": b"f", "kwarg:data": bytes(9 * MIB)}, "10 MB as pickles (9 MB of them argument 'data')"),
        ({"function": bytes(7 * MIB)}, "7 MB as pickles (7 MB of them function)"),
        ({"function": b"f", "arg0": FilePart("x", 500 * MIB, "")}, "501 MB as pickles (500 MB of them argument 1)"),
    ],
)
def test_a_call_that_is_larger_than_its_tasks_memory_is_refused(pickles: dict[str, Part], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        refuse_too_large(CALL, pickles, 5)
    assert "memory = 5 (in MB)" in str(caught.value)
    assert "electron 'f' (node 3 of dispatch dispatch)" in str(caught.value)
    assert told in str(caught.value)


def test_a_call_that_fits_is_not_refused() -> None:
    refuse_too_large(CALL, {"function": b"f", "arg0": bytes(4 * MIB)}, 5)


class TooLarge(TransportableObject):  # type: ignore[misc]  # Covalent has no types
    """An argument that this machine's memory does not hold twice."""

    def get_serialized(self) -> str:
        return Text()


class Text(str):
    def __len__(self) -> int:
        return 500 * MIB

    def __getitem__(self, key: Any) -> str:
        raise MemoryError


def test_inputs_that_this_machines_memory_does_not_hold_are_told_with_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("BATCH_EMULATOR_HOST", "LOGGING_EMULATOR_HOST"):
        monkeypatch.setenv(variable, "127.0.0.1:9")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    call = CovalentCall.parse(TransportableObject(len), [TooLarge(b"")], {})
    options = {"project_id": "local", "bucket_name": "bucket", "memory": 4096}
    with pytest.raises(CacheDirError, match=r"500 MB.*memory of the machine"):
        asyncio.run(run_electron(call, ("dispatch", 0), options, Cancellation(), is_in_server=False))
