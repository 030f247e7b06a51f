"""The executor's section against a deployment: what differs, and writing it through Covalent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import toml
import warm_python

from covalent_parallel_plugin.cli.deploy.option_changes import OptionChange, changes, emptied


@pytest.mark.parametrize(
    ("outputs", "earlier", "configured", "expected"),
    [
        ({"bucket_name": "a"}, {}, {}, [OptionChange("bucket_name", None, "a")]),
        ({"bucket_name": "a"}, {}, {"bucket_name": ""}, [OptionChange("bucket_name", "", "a")]),
        ({"bucket_name": "a"}, {}, {"bucket_name": "b"}, [OptionChange("bucket_name", "b", "a")]),
        ({"bucket_name": "a"}, {}, {"bucket_name": "a"}, []),
        ({"external_ip": False}, {}, {"external_ip": "false"}, []),
        ({"external_ip": False}, {}, {"external_ip": True}, [OptionChange("external_ip", True, False)]),
        ({"repository": "r"}, {}, {}, []),
        ({}, {}, {"network": "mine"}, []),
        ({}, {"network": "ours"}, {"network": "mine"}, []),
        ({}, {"network": "ours"}, {"network": "ours"}, [OptionChange("network", "ours", "")]),
        ({}, {"external_ip": False}, {"external_ip": False}, [OptionChange("external_ip", False, "")]),
        ({"network": None}, {"network": "ours"}, {"network": "ours"}, [OptionChange("network", "ours", "")]),
    ],
)
def test_what_differs_is_found(
    outputs: dict[str, object], earlier: dict[str, object], configured: dict[str, object], expected: list[OptionChange]
) -> None:
    assert changes(outputs, earlier, configured) == expected


def test_what_only_terraform_will_know_is_said_so() -> None:
    (change,) = changes({}, {}, {"service_account_email": "old@example.org"}, ["service_account_email"])
    assert str(change) == "service_account_email: 'old@example.org' -> (known afterwards)"


def test_project_and_region_stay_when_the_rest_goes() -> None:
    standing = {"project_id": "p", "region": "us-east1", "bucket_name": "b"}
    assert emptied(standing, standing) == [OptionChange("bucket_name", "b", "")]


def write(folder: Path, *wanted: OptionChange) -> subprocess.CompletedProcess[str]:
    """Write in a process of its own: Covalent reads where its file is when it is imported."""
    code = f"""
from covalent_parallel_plugin.cli.deploy.option_changes import OptionChange, write
from covalent_parallel_plugin.errors import DeployError
try:
    write({list(wanted)!r})
except DeployError as error:
    print(error)
"""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "COVALENT_CONFIG_DIR": str(folder)}
    ended = warm_python.run(code, environment=environment)
    ended.check_returncode()
    return ended


def test_writing_keeps_every_other_key(tmp_path: Path) -> None:
    file = tmp_path / "covalent.conf"
    file.write_text('[executors.gcpbatch]\nvcpus = 8\nnetwork = "ours"\n[dispatcher]\nport = 12345\n')
    write(
        tmp_path,
        OptionChange("bucket_name", None, "made"),
        OptionChange("external_ip", None, False),
        OptionChange("network", "x", ""),
    )
    written = toml.loads(file.read_text())
    section = written["executors"]["gcpbatch"]
    assert section == {"vcpus": 8, "network": "", "bucket_name": "made", "external_ip": False}
    assert written["dispatcher"]["port"] == 12345


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any file")
def test_a_file_that_may_not_be_written_is_told_with_the_lines_to_put_there(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "covalent.conf").chmod(0o400)
    told = write(tmp_path, OptionChange("bucket_name", None, "made")).stdout
    assert 'bucket_name = "made"' in told


def test_a_locked_file_is_told_with_the_lines_to_put_there(tmp_path: Path) -> None:
    import filelock

    write(tmp_path)
    code = f"""
import filelock
from covalent_parallel_plugin import gcpbatch
from covalent_parallel_plugin.cli.deploy.option_changes import OptionChange, write
from covalent_parallel_plugin.errors import DeployError
with filelock.FileLock({str(tmp_path / "covalent.conf.lock")!r}, is_singleton=False):
    try:
        write([OptionChange("bucket_name", None, "made"), OptionChange("external_ip", None, False)])
    except DeployError as error:
        print(error)
"""
    assert filelock.__version__
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COVALENT_CONFIG_DIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-2:] == ['  bucket_name = "made"', "  external_ip = false"]
