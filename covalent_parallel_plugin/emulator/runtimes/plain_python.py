"""Make a Python that has the standard library and pip only, as the stock image has."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from ..model.user_cache import make_once

# Another number for another way of making it
FORMAT = 1
PIP_SECONDS = 120.0
PIP_SCRIPT = "#!{python}\nimport sys\n\nfrom pip._internal.cli.main import main\n\nsys.exit(main())\n"


def plain_python(parent: Path) -> Path:
    """Return an interpreter below `parent` that runs this one's version and sees none of its packages.

    Raises:
        OSError: the folder cannot be written to.
    """
    text = "\n".join((str(FORMAT), sys.version, sys.base_prefix))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = parent / f"python{version}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    python = folder / "bin" / "python3"
    if not python.exists():
        # of one whose Python was removed meanwhile only links are left
        shutil.rmtree(folder, ignore_errors=True)
        make_once(folder, lambda partial: _make(partial, folder))
    return python


def _make(partial: Path, final: Path) -> None:
    venv.EnvBuilder(symlinks=True, with_pip=False).create(partial)
    packages = partial / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    if not _copy_pip(packages):
        # Quicker by seconds is a copy of this environment's; some distributions have neither
        subprocess.run(
            [partial / "bin" / "python3", "-Im", "ensurepip"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PIP_SECONDS,
            check=False,
        )
    if (packages / "pip").is_dir():
        for name in ("pip", "pip3"):
            script = partial / "bin" / name
            script.write_text(PIP_SCRIPT.format(python=final / "bin" / "python3"))
            script.chmod(0o755)


def _copy_pip(packages: Path) -> bool:
    try:
        found = importlib.metadata.distribution("pip")
    except importlib.metadata.PackageNotFoundError:
        return False
    names = {file.parts[0] for file in found.files or () if file.parts[0] != ".."}
    for name in names:
        source = Path(str(found.locate_file(name)))
        if source.is_dir():
            shutil.copytree(source, packages / name)
    return (packages / "pip" / "__main__.py").is_file()
