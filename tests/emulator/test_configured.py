"""`covalent-parallel emulator --configure`: what it makes of Covalent's configuration file."""

from __future__ import annotations

import stat
from pathlib import Path

import click
import pytest

from covalent_parallel_plugin.cli.emulator.covalent_section import configure
from covalent_parallel_plugin.settings.config_file import read_config_file

OURS = {"project_id": "local-project", "region": "us-east1", "bucket_name": "covalent", "poll_freq": 1}
GOOGLE = """# mine
[dispatcher]
port = 48008

[executors.gcpbatch]  # at work
# the lab's
project_id = "lab-1"
zones = ["us-east1-b",
  "us-east1-c"]
bucket_name = "lab-results"

[executors.local]
x = 1
"""


def run(folder: Path, bucket: str = "covalent") -> tuple[str, Path]:
    environment = {"COVALENT_CONFIG_DIR": str(folder)}
    return configure(bucket, environment), folder / "covalent.conf"


def section(path: Path) -> object:
    return read_config_file({"COVALENT_CONFIG_DIR": str(path.parent)}).section


def test_a_file_that_is_not_there_is_made_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    report, path = run(tmp_path / "new")
    assert section(path) == OURS and str(path) in report and "Before" not in report
    before = path.stat()
    assert run(tmp_path / "new")[0] == report
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["covalent.conf", "covalent.conf.lock"]


def test_other_options_sections_and_comments_stay_and_the_users_project_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "covalent.conf"
    path.write_text(GOOGLE)
    path.chmod(0o640)
    report, _ = run(tmp_path)
    assert section(path) == {**OURS, "zones": ["us-east1-b", "us-east1-c"]}
    text = path.read_text()
    assert text.count("[executors.gcpbatch]") == 1
    for kept in ("# mine\n", "port = 48008\n", "[executors.gcpbatch]  # at work\n", "# the lab's\n", "x = 1\n"):
        assert kept in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    copy = tmp_path / "covalent.conf.google-1"
    assert copy.read_text() == GOOGLE and stat.S_IMODE(copy.stat().st_mode) == 0o640
    assert "project_id = 'lab-1'" in report and f"mv {copy} {path}" in report
    run(tmp_path)
    assert not (tmp_path / "covalent.conf.google-2").exists(), "the emulator's own section is not worth a copy"
    path.write_text(GOOGLE.replace("lab-1", "lab-2"))
    run(tmp_path)
    assert copy.read_text() == GOOGLE and "lab-2" in (tmp_path / "covalent.conf.google-2").read_text()


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles" / "covalent.conf"
    target.write_text(GOOGLE)
    (tmp_path / "covalent.conf").symlink_to(target)
    run(tmp_path)
    assert (tmp_path / "covalent.conf").is_symlink() and section(target) == section(tmp_path / "covalent.conf")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[executors.gcpbatch\n", "is not TOML"),
        ("[executors.gcpbatch]\n[executors.gcpbatch]\n", "twice"),
        ('[executors]\ngcpbatch = {project_id = "lab"}\n', "in a form that cannot be changed safely"),
        ('executors.gcpbatch.project_id = "lab"\n', "in a form that cannot be changed safely"),
        ('[executors.gcpbatch]\nproject_id = """\nlab"""\n', "in a form that cannot be changed safely"),
        ("executors = 1\n", "in a form that cannot be changed safely"),
    ],
)
def test_a_file_that_cannot_be_changed_is_one_error_and_stays_as_it_is(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "covalent.conf"
    path.write_text(text)
    with pytest.raises(click.ClickException) as refused:
        run(tmp_path)
    assert words in refused.value.message and str(path) in refused.value.message
    assert path.read_text() == text


def test_a_file_that_is_read_only_or_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "covalent.conf"
    path.write_text(GOOGLE)
    path.chmod(0o444)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "file"):
        with pytest.raises(click.ClickException) as refused:
            run(folder)
        assert f"{folder / 'covalent.conf'} cannot be written" in refused.value.message
    assert path.read_text() == GOOGLE and not (tmp_path / "covalent.conf.google-1").exists()
