"""What executors, maps, errors, sweeps and runs show of themselves: in a shell, and in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import own_covalent
import pytest

from covalent_parallel_plugin.covalent_api.server_client import DispatchRecord, ElectronRecord
from covalent_parallel_plugin.errors import ElectronError, MapError
from covalent_parallel_plugin.results.run import Run
from covalent_parallel_plugin.sweep.python_sweep import Sweep

own_covalent.load()

from covalent_parallel_plugin import GCPBatchExecutor, pmap  # noqa: E402  # after Covalent

BATCH = {
    "vcpus": 4,
    "secrets": {"TOKEN": "projects/p/secrets/token/versions/1"},
    "registry_username": "me",
    "registry_password": "projects/p/secrets/password/versions/1",
    "requirements": ["https://me:hunter2@example.com/x.whl"],
}


def assert_safe(html: str) -> None:
    """Nothing of others' runs or is fetched, and colours are those of the notebook."""
    assert "<script" not in html and "<b>x" not in html and " src=" not in html and " href=" not in html
    assert "background:transparent" in html or "background" not in html


def test_an_executor_shows_what_was_given_without_secrets() -> None:
    shown = repr(GCPBatchExecutor(**BATCH))
    assert shown == (
        "GCPBatchExecutor(vcpus=4, secrets={'TOKEN': '****'}, registry_username='me', registry_password='****',"
        " requirements=['https://****@example.com/x.whl'])"
    )
    assert repr(GCPBatchExecutor()) == "GCPBatchExecutor()"
    html = GCPBatchExecutor(**BATCH, labels={"a": "b"})._repr_html_()
    assert_safe(html)
    assert "vcpus" in html and "projects/p" not in html and "hunter2" not in html and "memory" not in html


def test_what_an_executor_shows_is_not_what_covalent_carries() -> None:
    executor = GCPBatchExecutor(vcpus=4)
    before = executor.to_dict()
    assert repr(executor) and executor._repr_html_()
    assert executor.to_dict() == before


def test_a_map_shows_its_function_and_executor() -> None:
    def square(x: int) -> int:
        return x * x

    assert repr(pmap(square)) == "pmap(square)"
    mapped = pmap(executor=GCPBatchExecutor(max_parallel=3), return_exceptions=True)(square)
    assert repr(mapped) == "pmap(square, executor=GCPBatchExecutor(max_parallel=3), return_exceptions=True)"
    assert "max_parallel=3" in mapped._repr_html_()


def test_errors_show_what_failed_and_escape_what_others_wrote() -> None:
    one = ElectronError("ValueError", "<b>x</b>", "Traceback\n  <script>")
    assert_safe(one._repr_html_())
    assert "ValueError: &lt;b&gt;x" in one._repr_html_() and "&lt;script&gt;" in one._repr_html_()
    error = MapError.of("electron 'f'", 4, {1: ("(<b>x</b>): ValueError", one), 3: ("(2): ValueError", one)})
    assert repr(error) == "MapError(2 of 4 items of electron 'f' failed: 1, 3)"
    assert_safe(error._repr_html_())
    assert "item 3 (2): ValueError" in error._repr_html_()


def test_a_sweep_shows_its_tasks_also_before_it_has_run(tmp_path: Path) -> None:
    made: Any = Sweep(
        name="art",
        command=["sh", "-c", "echo '{\"x\": 1}' > result.json; exit $0", "{i}"],
        parameters={"i": [0, 3]},
        out=tmp_path / "art",
        retries=0,
    )
    assert repr(made) == "<sweep art: 2 tasks, 2 waiting>"
    made.run(local=True, show=False)
    assert repr(made) == "<sweep art: 2 tasks, 1 done, 1 failed>"
    html = made._repr_html_()
    assert_safe(html)
    assert "i=3" in html and "failed" in html


@pytest.mark.parametrize("count", [1, 120])
def test_a_run_shows_a_bounded_table_with_failures_in_it(count: int) -> None:
    electrons = {
        str(node): ElectronRecord(f"<b>x{node}</b>", "local", {}, "FAILED" if node == count - 1 else "COMPLETED")
        for node in range(count)
    }
    run = Run("a-b", DispatchRecord("FAILED", electrons, "<script>"), problem="a \x1b[31mnote")
    lines = repr(run).splitlines()
    assert lines[0] == f"dispatch a-b (<script>): FAILED, {count} of {count} electrons done, 1 failed"
    assert any(f"<b>x{count - 1}</b>" in line and "FAILED" in line for line in lines)
    assert len(lines) == min(count, 50) + 3 + (count > 50) and lines[-1] == "a note"
    assert ("and 70 more electrons" in lines) == (count > 50)
    assert_safe(run._repr_html_())
    assert run.data["electrons"][0]["state"] == run.electrons[0].state
