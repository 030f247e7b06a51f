"""README, which is one screen, and what it and the pages say of this package's versions, sizes and addresses."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from email import message_from_string
from pathlib import Path

import pytest

from covalent_parallel_plugin import __version__
from covalent_parallel_plugin.batch.runner_archive import runner_archive

ROOT = Path(__file__).parents[2]
README, IMAGE_PAGE = (ROOT / "README.md").read_text(), (ROOT / "docs" / "how-to" / "images.md").read_text()
HOW_IT_WORKS = (ROOT / "docs" / "explanation" / "how-it-works.md").read_text()
SETUP = configparser.ConfigParser()
SETUP.read_string((ROOT / "setup.cfg").read_text())
REPOSITORY = SETUP["metadata"]["url"]
RAW = REPOSITORY.replace("github.com", "raw.githubusercontent.com")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
_IN_REPOSITORY = re.compile(rf"{re.escape(REPOSITORY)}/(?:blob|tree)/main/([^)#\s]+)|{re.escape(RAW)}/main/([^)#\s]+)")


def test_the_page_has_at_most_400_words_and_absolute_links() -> None:
    assert len(README.split()) <= 400
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    assert len(links) > 8
    assert [link for link in links if not link.startswith("https://")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_into_the_repository_leads_to_a_file_or_folder(page: Path) -> None:
    paths = {"".join(found) for found in _IN_REPOSITORY.findall(page.read_text(encoding="utf-8"))}
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_the_dockerfile_of_two_lines_has_this_version_and_leaves_cloudpickles_open() -> None:
    (written,) = re.findall(r"```dockerfile\n(.*?)```", IMAGE_PAGE, re.DOTALL)
    assert written.splitlines()[1:] == [
        f"RUN pip install cloudpickle && pip install --no-deps covalent-parallel-plugin=={__version__}"
    ]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="its bytecode is of another size")
def test_the_runners_archive_has_the_size_that_is_written() -> None:
    (kilobytes,) = re.findall(r"runner's archive \((\d+) KB per\s+version, for Python 3\.11\)", HOW_IT_WORKS)
    assert int(kilobytes) * 1000 == pytest.approx(len(runner_archive().data), rel=0.1)


def test_the_wheel_s_metadata_has_the_project_s_addresses(tmp_path: Path) -> None:
    """Made as a wheel's is, of the checkout's own declarations; Python 3.12 has no setuptools of itself."""
    pytest.importorskip("setuptools")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "covalent_parallel_plugin").mkdir()
    (tmp_path / "covalent_parallel_plugin" / "__init__.py").write_text(f'__version__ = "{__version__}"\n')
    command = [sys.executable, "-c", "from setuptools import setup; setup()", "egg_info"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr
    (path,) = tmp_path.glob("*.egg-info/PKG-INFO")
    metadata = message_from_string(path.read_text(encoding="utf-8"))
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    assert {"Documentation", "Source", "Issues", "Changelog"} <= urls.keys()
    assert [url for url in urls.values() if not url.startswith(REPOSITORY)] == []
    assert metadata["Description-Content-Type"] == "text/markdown"
