"""What README and docs/how-to/images.md say of this package's versions and sizes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from covalent_parallel_plugin import __version__
from covalent_parallel_plugin.batch.runner_archive import runner_archive

ROOT = Path(__file__).parents[2]
README, IMAGE_PAGE = (ROOT / "README.md").read_text(), (ROOT / "docs" / "how-to" / "images.md").read_text()


def test_the_dockerfile_of_two_lines_has_this_version_and_leaves_cloudpickles_open() -> None:
    written = [re.search(r"```dockerfile\n(.*?)```", page, re.DOTALL) for page in (README, IMAGE_PAGE)]
    readme, page = (found[1] for found in written if found)
    assert readme == page
    assert readme.splitlines()[1:] == [
        f"RUN pip install cloudpickle && pip install --no-deps covalent-parallel-plugin=={__version__}"
    ]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="its bytecode is of another size")
def test_the_runners_archive_has_the_size_that_is_written() -> None:
    (kilobytes,) = re.findall(r"runner's archive \((\d+) KB per version, for Python 3\.11\)", README)
    assert int(kilobytes) * 1000 == pytest.approx(len(runner_archive().data), rel=0.1)
