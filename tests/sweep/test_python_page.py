"""docs/reference/sweep-python.md: its snippets run, one after the other, and give what they say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from python_sweeps import enter

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "sweep-python.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_snippet_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: Any
) -> None:
    (tmp_path / "work").mkdir()
    enter(tmp_path, monkeypatch.setenv, lambda folder: monkeypatch.chdir(folder / "work"))
    shutil.copy(ROOT / "examples" / "pi" / "pi.py", "pi.py")
    names: dict[str, Any] = {}
    for number, snippet in enumerate(SNIPPETS):
        # With a file of its own, in which the source of a function is found
        path = tmp_path / f"snippet{number}.py"
        path.write_text(snippet)
        exec(compile(snippet, str(path), "exec"), names)  # noqa: S102  # the page's own
    printed = capsys.readouterr().out
    assert len(SNIPPETS) == PAGE.count("```python")
    assert [record.status for record in names["records"]] == ["done"] * 6
    first = next(record for record in names["records"] if record["iterations"] == 1000 and record["seed"] == 0)
    best = names["sweep"].best("pi_hat", max=True)
    assert f"{first.result}; None for" in PAGE
    assert f"# {best.parameters}" in PAGE
    assert "pi: 6 tasks" in printed
    assert "image    us-east1-docker.pkg.dev/my-project/images/pi:1" in printed
    assert "false: stopped: stop_after: 1 tasks have failed: 1 failed, 99 waiting" in printed
    assert (tmp_path / "work" / "mesh" / "points=100" / "stdout.txt").read_text() == "100 mesh.txt\n"
    assert printed.splitlines()[-1] == "15"
    assert len(names["frame"]) == 6
