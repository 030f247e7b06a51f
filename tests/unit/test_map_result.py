"""The error of a map that ended before its items did, whatever the class of what ended it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.map.item_table import ValueStore
from covalent_parallel_plugin.electron.map.progress import MapProgress
from covalent_parallel_plugin.electron.map.result import MapResult
from covalent_parallel_plugin.electron.outcome import Outcome, raised_of
from covalent_parallel_plugin.electron.verdict import ElectronEvidence
from covalent_parallel_plugin.errors import ElectronError
from covalent_parallel_plugin.protocol.envelope import EXCEPTION
from covalent_parallel_plugin.protocol.exception_record import describe
from covalent_parallel_plugin.settings import Settings

ERRORS: list[BaseException] = [
    SystemExit(3),
    OSError(27, "File too large"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    type("Mine", (Exception,), {})("my own error"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_ended_it_is_raised_and_its_items_are_counted(tmp_path: Path, error: BaseException) -> None:
    call = Call("d", 0, "mapped", platform.python_version(), "0.240.0", args=1)
    store = ValueStore(str(tmp_path))
    try:
        result = MapResult(call, MapProgress(total=3), store)
        ended = Outcome(EXCEPTION, "", "", raised=raised_of(describe(error)))
        failure = result.lost(
            Settings(project_id="local", bucket_name="covalent"), "job", ElectronEvidence(None, outcome=ended)
        )
    finally:
        store.close()
    own = isinstance(error, OSError | ValueError)
    assert isinstance(failure.error, type(error) if own else ElectronError)
    assert str(error) in str(failure.error)
    assert "3 of its 3 items did not end (0, 1, 2)." in failure.stderr
