"""The benchmark of the image's size; what it installs needs a package index and a minute."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.image import installed_bytes


def test_the_installed_size_is_what_du_counts(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "large").write_bytes(b"x" * 1_000_000)
    (tmp_path / "small").write_text("x")
    (tmp_path / "link").symlink_to("small")
    counted = subprocess.run(["du", "-sk", str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert installed_bytes(tmp_path) == int(counted.split()[0]) * 1024
