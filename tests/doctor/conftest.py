"""Set-ups to diagnose, and the command that does it, run as its users run it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import warm_python
from doctor_command import COMMAND, quiet_environment, section_text

SECTION = {"project_id": "local", "bucket_name": "covalent", "region": "us-east1"}


@dataclass(frozen=True)
class Diagnosis:
    """What the command said."""

    status: int
    content: Mapping[str, Any]

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        """A check by its name."""
        return next(check for check in self.content["checks"] if check["name"] == name)

    @property
    def statuses(self) -> dict[str, str]:
        return {check["name"]: check["status"] for check in self.content["checks"]}


Diagnose = Callable[..., Diagnosis]


@pytest.fixture
def examine_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diagnose:
    """The same examination without the command around it, in this process, which spares a second each."""
    from covalent_parallel_plugin.cli.doctor import report
    from covalent_parallel_plugin.cli.doctor.check_runner import run_checks
    from covalent_parallel_plugin.cli.doctor.checks import all_checks
    from covalent_parallel_plugin.cli.doctor.setup import read_setup

    def run(*, options: Mapping[str, object] | None = None, environment: Mapping[str, str]) -> Diagnosis:
        (tmp_path / "covalent.conf").write_text(section_text({**SECTION, **(options or {})}))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        setup = read_setup({"COVALENT_CONFIG_DIR": str(tmp_path), **environment}, {})
        results = run_checks(all_checks(), setup)
        return Diagnosis(report.exit_status(results), json.loads(report.as_json(results, setup, ())))

    return run


@pytest.fixture
def diagnose(tmp_path: Path) -> Diagnose:
    """Run the command on a configuration file with these options, or this text, in this environment."""

    def run(
        *arguments: str,
        options: Mapping[str, object] | None = None,
        text: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Diagnosis:
        written = section_text({**SECTION, "cache_dir": str(tmp_path / "cache"), **(options or {})})
        (tmp_path / "covalent.conf").write_text(written if text is None else text)
        ended = warm_python.run(
            *COMMAND[2:],
            "--json",
            *arguments,
            environment=quiet_environment(tmp_path, **(environment or {})),
            folder=tmp_path,
        )
        assert ended.stdout, ended.stderr
        return Diagnosis(ended.returncode, json.loads(ended.stdout))

    return run
