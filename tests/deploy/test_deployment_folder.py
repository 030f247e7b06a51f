"""Where deployments are kept."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from covalent_parallel_plugin.cli.deploy.deployment_folder import (
    INFRA,
    data_folder,
    folder_of,
    known_deployments,
    prepare_folder,
)


@pytest.mark.parametrize(
    ("environment", "platform", "folder"),
    [
        ({"HOME": "/home/ada"}, "linux", "/home/ada/.local/share"),
        ({"HOME": "/Users/ada"}, "darwin", "/Users/ada/Library/Application Support"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "/data"}, "linux", "/data"),
        ({"HOME": "/Users/ada", "XDG_DATA_HOME": "/data"}, "darwin", "/data"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "relative"}, "linux", "/home/ada/.local/share"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": ""}, "linux", "/home/ada/.local/share"),
    ],
)
def test_data_is_kept_where_the_platform_keeps_it(environment: dict[str, str], platform: str, folder: str) -> None:
    assert data_folder(environment, platform) == Path(folder)


def test_two_deployments_never_share_a_folder() -> None:
    environment = {"HOME": "/home/ada"}
    assert folder_of("a-b", "c", environment) != folder_of("a", "b-c", environment)


def test_known_deployments_are_listed(tmp_path: Path) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path)}
    assert known_deployments(environment) == []
    for project, name in (("p2", "covalent"), ("p1", "team"), ("p1", "covalent")):
        prepare_folder(folder_of(project, name, environment))
    assert known_deployments(environment) == [("p1", "covalent"), ("p1", "team"), ("p2", "covalent")]


def test_every_file_but_covalents_own_is_copied(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b" / "c")
    names = {path.name for path in (tmp_path / "a" / "b" / "c").iterdir()}
    assert names == {path.name for path in INFRA.glob("*.tf")} - {"covalent.tf"}


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    prepare_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_providers_are_looked_for_anew_only_when_the_versions_asked_for_are_others(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "a" / "b" / "c"
    shutil.copytree(INFRA, source)
    assert prepare_folder(folder, source) is False
    assert prepare_folder(folder, source) is False
    versions = source / "versions.tf"
    versions.write_text(versions.read_text().replace("< 8.0.0", "< 9.0.0"))
    assert prepare_folder(folder, source) is True
    assert prepare_folder(folder, source) is False
