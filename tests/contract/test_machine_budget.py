"""`max_machine_hours` of a dispatch: what stops, what never begins, and what is kept."""

from __future__ import annotations

import asyncio
import json
import platform
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.electron.call import Call, Map, new_identity
from covalent_parallel_plugin.electron.electron_run import ElectronRun
from covalent_parallel_plugin.electron.map.map_run import MapRun
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.electron.traceback_source import SourceText
from covalent_parallel_plugin.electron.verdict import Failure, Value
from covalent_parallel_plugin.errors import BudgetError, JobError
from covalent_parallel_plugin.settings import Settings

if TYPE_CHECKING:
    from conftest import BatchProxy

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SECOND = 1 / 3600


class Dispatch:
    """Electrons of one dispatch that run at a time, with a trace of what an earlier server had run of it."""

    def __init__(self, proxy: BatchProxy, store: ObjectStore, folder: Path, earlier_seconds: float = 0.0) -> None:
        self.proxy = proxy
        self.store = store
        self.folder = folder
        self.id = str(uuid.uuid4())
        self.trace(earlier_seconds)

    def trace(self, seconds: float) -> None:
        """Have a trace that tells of one machine which ran so long."""
        path = self.folder / "covalent-parallel" / "traces" / f"{self.id}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        times = {"running": 1e9, "delivered": 1e9 + seconds}
        path.write_text(json.dumps({"v": 1, "kind": "attempt", "node": 0, "t": times}) + "\n")

    def go(self, *electrons: tuple[Callable[..., Any], Any, float | None]) -> list[Any]:
        """Run electrons: the function, the items of a map or None, and `max_machine_hours`; give how each ended."""

        async def source() -> SourceText:
            return SourceText()

        async def run() -> list[Any]:
            batch = BatchApi(connect(self.proxy.address), patience_seconds=5)
            services = Services(batch, self.store, LogReader.shared("local"))

            async def ended(node: int, function: Callable[..., Any], items: Any, limit: float | None) -> Any:
                settings = Settings(
                    bucket_name="covalent", project_id="local", retries=0, max_parallel=3, poll_freq=0.2,
                    max_machine_hours=limit, cache_dir=str(self.folder / "cache"),
                )  # fmt: skip
                is_map = items is not None
                call = Call(
                    self.id, node, "electron", platform.python_version(), "0.240.0", args=int(is_map),
                    map=Map(len(items), False) if is_map else None,
                )  # fmt: skip
                pickles = {"function": cloudpickle.dumps(function)}
                if is_map:
                    pickles["arg0"] = cloudpickle.dumps(items)
                identity = new_identity(call, (), ServerSecret.random())
                kind = MapRun if is_map else ElectronRun
                return await kind(call, identity, settings, services, Cancellation(), source).run(pickles)

            try:
                return await asyncio.gather(
                    *(ended(node, *electron) for node, electron in enumerate(electrons)), return_exceptions=True
                )
            finally:
                await batch.close()

        return asyncio.run(run())

    @property
    def left(self) -> list[str]:
        return list(self.store.names(f"covalent-parallel/{self.id}/"))


@pytest.fixture
def dispatched(
    proxy: BatchProxy, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Dispatch]]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    yield lambda earlier_seconds=0.0: Dispatch(proxy, store, tmp_path, earlier_seconds)


def sleeps() -> None:
    print("begun", flush=True)
    time.sleep(600)


def quick() -> int:
    return 7


def is_about(error: Any, *parts: str) -> bool:
    assert type(error) is BudgetError and isinstance(error, JobError), error
    return all(part in str(error) for part in parts)


def test_a_dispatch_that_is_past_its_limit_is_stopped_with_what_it_printed(dispatched: Any, proxy: BatchProxy) -> None:
    dispatch = dispatched()
    (ended,) = dispatch.go((sleeps, None, 10 * SECOND))
    assert isinstance(ended, Failure)
    assert is_about(ended.error, "electron 'electron' (node 0", "was stopped", "raise `max_machine_hours`", "Job: ")
    used, limit, more = re.findall(
        r"run for ([\d.e-]+) h, .* is ([\d.e-]+); up to ([\d.e-]+) h more", str(ended.error)
    )[0]
    assert float(limit) == pytest.approx(10 * SECOND, rel=1e-3) and float(used) >= 0.995 * float(limit)
    assert float(more) == pytest.approx(30.2 * SECOND, rel=0.1)
    assert ended.stdout == "begun\n"
    assert "max_machine_hours" in ended.stderr
    assert dispatch.left == []
    assert [what for _, what in proxy.told].count("cancel") == 1


def test_all_its_jobs_are_stopped_within_two_looks_at_each(dispatched: Any, proxy: BatchProxy) -> None:
    dispatch = dispatched(3600)
    ended = dispatch.go((sleeps, None, 1.0), (sleeps, None, 1.0), (sleeps, None, 1.0))
    assert all(is_about(one.error, "was stopped") for one in ended)
    first = next(at for at, (_, state) in enumerate(proxy.told) if state == "RUNNING")
    names = {name for name, _ in proxy.told}
    assert len(names) == 3
    for name in names:
        after = [what for asked, what in proxy.told[first:] if asked == name]
        assert after.index("cancel") <= 2, proxy.told


def test_an_electron_that_comes_later_is_not_submitted_and_nothing_is_uploaded(
    dispatched: Any, proxy: BatchProxy
) -> None:
    dispatch = dispatched(3601)
    before = proxy.calls["CreateJob"]
    alone, mapped = dispatch.go((quick, None, 1.0), (abs, [1, 2], 1.0))
    assert is_about(alone, "node 0", "was not submitted", "run for 1 h", "max_machine_hours is 1", "raise")
    assert isinstance(mapped, Failure) and is_about(mapped.error, "node 1", "was not submitted")
    assert proxy.calls["CreateJob"] == before
    assert dispatch.left == []


def test_an_electron_with_a_higher_limit_or_none_runs_on(dispatched: Any) -> None:
    dispatch = dispatched(3601)
    ended = dispatch.go((quick, None, 1.0), (quick, None, 1.01), (quick, None, None))
    assert is_about(ended[0])
    assert [isinstance(one, Value) for one in ended[1:]] == [True, True]


def test_a_dispatch_below_its_limit_is_not_touched(dispatched: Any) -> None:
    assert isinstance(dispatched(3000).go((quick, None, 1.0))[0], Value)


def test_a_server_that_was_started_anew_counts_on_from_the_trace(dispatched: Any) -> None:
    dispatch = dispatched(3599)
    (ended,) = dispatch.go((sleeps, None, 1.0))
    assert is_about(ended.error, "was stopped", "run for 1 h")
    # and does not count it again
    dispatch.trace(7200)
    (ended,) = dispatch.go((quick, None, 1.1))
    assert isinstance(ended, Value)


def test_a_trace_that_cannot_be_read_counts_from_here_on(dispatched: Any) -> None:
    dispatch = dispatched(7200)
    path = dispatch.folder / "covalent-parallel" / "traces" / f"{dispatch.id}.jsonl"
    path.unlink()
    path.mkdir()
    assert isinstance(dispatch.go((quick, None, 1.0))[0], Value)


@pytest.mark.parametrize("limit", [None, 1.0])
def test_a_place_where_no_trace_can_be_looked_for_fails_nothing(
    dispatched: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: float | None
) -> None:
    dispatch = dispatched()
    monkeypatch.setenv("XDG_DATA_HOME", "/tmp/" + "x" * 300)
    assert isinstance(dispatch.go((quick, None, limit))[0], Value)
    assert caplog.text.count("counted from here on") == (limit is not None)


def test_a_map_that_is_stopped_keeps_the_values_that_were_delivered(dispatched: Any) -> None:
    def item(index: int) -> int:
        if index % 4:
            time.sleep(600)
        return index

    dispatch = dispatched()
    (ended,) = dispatch.go((item, list(range(12)), 18 * SECOND))
    assert isinstance(ended, Failure)
    assert is_about(ended.error, "was stopped", "did not end", "values stay in gs://covalent/")
    assert "max_machine_hours" in ended.stderr
    assert any("outcome" in name or "items" in name for name in dispatch.left)
