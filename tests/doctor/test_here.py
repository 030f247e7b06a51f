"""What is wrong on this machine: versions, configuration file, options, variables, credentials; nothing is mocked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor_command import COMMAND, quiet_environment
from token_server import TokenServer, key_file

from covalent_parallel_plugin.emulator import Emulator

Diagnose = Callable[..., Any]
# Nobody listens there, so what is asked of Google through it fails at once
NO_PROXY = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def install(folder: Path, name: str, version: str, entry_points: str = "") -> dict[str, str]:
    """Lay a distribution's metadata into a folder, and give the variable with which Python finds it first."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if entry_points:
        (info / "entry_points.txt").write_text(f"[covalent.executor.executor_plugins]\n{entry_points}\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}


def test_a_fastapi_that_refuses_every_dispatch(diagnose: Diagnose, tmp_path: Path) -> None:
    found = diagnose(environment=install(tmp_path / "site", "fastapi", "0.132.0"))
    assert found["versions.fastapi"]["status"] == "error"
    assert "FastAPI 0.132.0" in found["versions.fastapi"]["found"]
    assert "pip install 'fastapi<0.132'" in found["versions.fastapi"]["remedy"]
    assert found.status == 1


def test_the_replaced_plugin_beside_this_one(diagnose: Diagnose, tmp_path: Path) -> None:
    point = "gcpbatch = covalent_gcpbatch_plugin.gcpbatch"
    environment = install(tmp_path / "site", "covalent-gcpbatch-plugin", "0.11.0", point)
    found = diagnose(environment=environment)
    assert found["versions.second_plugin"]["status"] == "error"
    assert "pip uninstall covalent-gcpbatch-plugin" in found["versions.second_plugin"]["remedy"]
    assert found["versions.plugin"]["status"] == "ok"


def test_another_distribution_with_the_same_class(diagnose: Diagnose, tmp_path: Path) -> None:
    environment = install(tmp_path / "site", "lab-executors", "1.0", "lab = lab_executors")
    (tmp_path / "site" / "lab_executors.py").write_text('EXECUTOR_PLUGIN_NAME = "GCPBatchExecutor"\n')
    found = diagnose(environment=environment)
    assert found["versions.second_plugin"]["status"] == "error"
    assert "lab_executors of lab-executors" in found["versions.second_plugin"]["found"]


def test_a_module_with_the_same_class_in_covalents_folder_for_plugins(diagnose: Diagnose, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "own.py").write_text("class GCPBatchExecutor:\n    pass\n")
    found = diagnose(text=f'[sdk]\nexecutor_dir = "{plugins}"\n')
    assert found["versions.second_plugin"]["status"] == "error"
    assert "own.py" in found["versions.second_plugin"]["found"]


def test_a_section_that_is_there_twice(diagnose: Diagnose) -> None:
    text = '[executors.gcpbatch]\nproject_id = "local"\n[executors.gcpbatch]\nbucket_name = "covalent"\n'
    found = diagnose(text=text)
    assert found["config.file"]["status"] == "error"
    assert "in lines 1 and 3" in found["config.file"]["found"]
    assert found["server.reachable"]["status"] == "skipped"


def test_a_file_that_is_no_toml(diagnose: Diagnose) -> None:
    found = diagnose(text="[executors.gcpbatch\nproject_id = local\n")
    assert found["config.file"]["status"] == "error"
    assert "is not TOML" in found["config.file"]["found"]


def test_a_key_that_is_no_option_is_a_warning_with_the_nearest(diagnose: Diagnose) -> None:
    found = diagnose(options={"bucket": "covalent"})
    assert found["config.unknown_keys"]["status"] == "warning"
    assert found["config.unknown_keys"]["details"] == ["bucket: did you mean bucket_name?"]


def test_options_that_are_missing_or_wrong(diagnose: Diagnose) -> None:
    found = diagnose(text='[executors.gcpbatch]\nproject_id = "local"\nregion = "us-east1-b"\nretries = 11\n')
    assert found["config.mistakes"]["status"] == "error"
    assert [line.split(" ")[0] for line in found["config.mistakes"]["details"]] == ["region", "retries", "bucket_name"]
    assert found["config.mistakes"]["found"] == "3 options need attention"
    assert "give --set bucket_name=... or set it under" in found["config.mistakes"]["details"][-1]


def test_the_options_at_their_defaults_are_told_in_lines_that_fit_a_window(diagnose: Diagnose) -> None:
    details = diagnose(text='[executors.gcpbatch]\nproject_id = "local"\n')["config.options"]["details"]
    defaults = details[next(index for index, line in enumerate(details) if line.startswith("default: ")) :]
    assert len(defaults) > 3 and max(map(len, defaults)) <= 100
    assert all(line.startswith("         ") for line in defaults[1:])
    assert "vcpus = 2," in " ".join(defaults)


def test_a_missing_option_keeps_those_checks_only_that_need_it(diagnose: Diagnose) -> None:
    with Emulator() as emulator:
        found = diagnose(text='[executors.gcpbatch]\nproject_id = "local"\n', environment=emulator.environment)
    assert found["bucket.exists"]["found"] == "bucket_name is missing or wrong, see config.mistakes"
    assert found["project.exists"]["status"] == "ok"


def test_every_option_tells_where_its_value_comes_from(diagnose: Diagnose) -> None:
    found = diagnose("--set", "memory=4096", options={"vcpus": 4})
    told = found.content["configuration"]["options"]
    assert told["memory"] == {"value": "4096", "source": "--set"}
    assert told["vcpus"] == {"value": 4, "source": "file"}
    assert told["retries"] == {"value": 3, "source": "default"}


def test_values_of_the_environment_option_are_not_shown(diagnose: Diagnose) -> None:
    found = diagnose("--set", "environment=PASSWORD=hunter2")
    assert "hunter2" not in json.dumps(dict(found.content))


def test_a_cache_dir_that_cannot_be_made(diagnose: Diagnose) -> None:
    found = diagnose(options={"cache_dir": "/dev/null/cache"})
    assert found["config.cache_dir"]["status"] == "error"
    assert "cannot be made below /dev/null" in found["config.cache_dir"]["found"]


@pytest.mark.parametrize("arguments", [["--set", "memory"], ["--set", "momory=2"], ["--nothing"]])
def test_a_wrong_call_ends_with_status_2(arguments: list[str], tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, *arguments], env=quiet_environment(tmp_path), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert "Error: " in ended.stderr


def test_only_some_of_the_variables_are_set(diagnose: Diagnose) -> None:
    with Emulator() as emulator:
        environment = {**emulator.environment}
        del environment["BATCH_EMULATOR_HOST"]
        found = diagnose(environment={**environment, **NO_PROXY})
    assert found["services.stand_in"]["status"] == "warning"
    assert "BATCH_EMULATOR_HOST not set" in found["services.stand_in"]["found"]


def test_a_variable_that_leads_nowhere(diagnose: Diagnose) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        found = diagnose(environment={"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"})
    assert found["services.stand_in"]["status"] == "error"
    assert "covalent-parallel emulator" in found["services.stand_in"]["remedy"]
    assert found["credentials.found"]["status"] == "skipped"


def test_a_variable_in_a_form_that_clients_do_not_understand(diagnose: Diagnose) -> None:
    with Emulator() as emulator:
        wrong = {"BATCH_EMULATOR_HOST": f"http://{emulator.environment['BATCH_EMULATOR_HOST']}"}
        found = diagnose(environment={**emulator.environment, **wrong})
    assert found["services.stand_in"]["status"] == "error"
    assert "host:port" in found["services.stand_in"]["remedy"]


def test_no_credentials(diagnose: Diagnose) -> None:
    found = diagnose(environment=NO_PROXY)
    assert found["credentials.found"]["status"] == "error"
    assert found["credentials.found"]["remedy"] == "gcloud auth application-default login"
    assert found["project.exists"]["found"] == "see credentials.found"


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


def test_credentials_that_google_does_not_take_any_more(
    diagnose: Diagnose, tokens: TokenServer, tmp_path: Path
) -> None:
    tokens.gives = False
    key = key_file(tmp_path / "key.json", tokens.address)
    found = diagnose(environment={**NO_PROXY, "GOOGLE_APPLICATION_CREDENTIALS": str(key)})
    assert found["credentials.found"]["status"] == "error"
    assert "expired" in found["credentials.found"]["found"]


def test_credentials_that_count_against_another_project(
    diagnose: Diagnose, tokens: TokenServer, tmp_path: Path
) -> None:
    key = key_file(tmp_path / "key.json", tokens.address)
    account = {"GOOGLE_APPLICATION_CREDENTIALS": str(key), "GOOGLE_CLOUD_QUOTA_PROJECT": "another"}
    found = diagnose(environment={**NO_PROXY, **account})
    assert found["credentials.found"]["found"] == "service account doctor@local.iam.gserviceaccount.com"
    assert found["credentials.quota_project"]["status"] == "warning"
    assert "set-quota-project local" in found["credentials.quota_project"]["remedy"]
    assert found["project.exists"]["status"] == "error", "Google is out of reach here"


def test_no_covalent_server(diagnose: Diagnose) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = diagnose(text=f'[dispatcher]\naddress = "127.0.0.1"\nport = {closed.getsockname()[1]}\n')
    assert found["server.reachable"]["status"] == "error"
    assert found["server.reachable"]["remedy"].startswith("covalent start")
    assert found["server.plugin"]["status"] == "skipped"


def test_a_python_that_covalent_does_not_run_on_is_judged_so() -> None:
    from covalent_parallel_plugin.cli.doctor.checks.versions import evaluate_python

    assert evaluate_python((3, 13, 0), "3.13.0").status == "error"
    assert evaluate_python((3, 9, 1), "3.9.1").status == "error"
    assert evaluate_python(sys.version_info[:3], "this").status == "ok"
