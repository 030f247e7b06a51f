"""What the Dockerfile runs while the image is built: install Covalent without its server, this plugin, and a user.

Standard library only: it is copied into the build context and runs in the base image, outside this package.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What `import covalent` imports, hooks, file transfers and building sublattices included (read in Covalent 0.240.0).
# Its other requirements serve its server and command line (FastAPI, SQLAlchemy, alembic, uvicorn, socketio, rich), its
# Dask cluster (distributed), or transfers from S3 (boto3, which `--requirements` can add).
NEEDED_OF_COVALENT = frozenset(
    {
        "aiofiles",
        "cloudpickle",
        "dask",
        "filelock",
        "furl",
        "networkx",
        "psutil",
        "pydantic",
        "requests",
        "toml",
        "watchdog",
    }
)
# Covalent imports all that is in executor_plugins, and the one for Dask clusters needs `distributed`.
UNUSED = ("covalent_ui/webapp", "covalent/executor/executor_plugins/dask.py")
# Libraries whose own tests are installed with them: a fifth of what would be installed
TESTED_WITHIN = ("dask", "networkx", "toolz")
USER = "covalent"
USER_ID = 10001
HOME = Path("/home/covalent")

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*\(?(?P<range>[^;)]*)\)?\s*(;\s*(?P<marker>.*))?"
)


def needed_requirements(declared: Iterable[str]) -> list[str]:
    """Those of Covalent's declared requirements that its client needs, with Covalent's own version ranges.

    Raises:
        ValueError: one that is needed is not declared any more: this list was made for another version of Covalent.
    """
    chosen = {}
    for text in declared:
        match = _REQUIREMENT.fullmatch(text.strip())
        if match is None or "extra" in (match["marker"] or ""):
            continue
        name = re.sub(r"[-_.]+", "-", match["name"]).lower()
        if name in NEEDED_OF_COVALENT:
            chosen[name] = match["name"] + match["range"].strip()
    missing = sorted(NEEDED_OF_COVALENT - set(chosen))
    if missing:
        raise ValueError(f"this Covalent does not declare {', '.join(missing)}")
    return [chosen[name] for name in sorted(chosen)]


def trim(packages: Path) -> None:
    """Remove from a folder of installed packages what only Covalent's server or a library's developers use."""
    for name in UNUSED:
        path = packages / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for library in TESTED_WITHIN:
        for folder in sorted((packages / library).rglob("tests")):
            shutil.rmtree(folder, ignore_errors=True)


def install(*arguments: str) -> None:
    """Run pip. Raises SystemExit with its status; what it said is in the build's output."""
    settings = {
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        # Debian's and Ubuntu's own Pythons refuse otherwise, and nothing else lives in this image
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
    }
    done = subprocess.run([sys.executable, "-m", "pip", "install", *arguments], env={**os.environ, **settings})
    if done.returncode != 0:
        sys.exit(done.returncode)
    importlib.invalidate_caches()


def libraries(python: str, covalent: str, cloudpickle: str, *into: str) -> None:
    """Install Covalent's client in these exact versions; `into` are further arguments of pip.

    Raises:
        SystemExit: the base image has another Python than `python`, such as 3.11, or no pip.
    """
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if found != python:
        sys.exit(
            f"covalent-parallel: the base image has Python {sys.version.split()[0]}, and Python {python} is wanted"
        )
    if importlib.util.find_spec("pip") is None:
        sys.exit("covalent-parallel: the base image's python3 has no pip")
    install("--no-deps", *into, f"covalent=={covalent}")
    folder = packages_folder(into)
    distribution = next(iter(importlib.metadata.distributions(name="covalent", path=[str(folder)])))
    needed = needed_requirements(distribution.requires or [])
    install(*into, *needed, f"cloudpickle=={cloudpickle}")
    trim(folder)


def packages_folder(into: Iterable[str]) -> Path:
    """Where pip puts packages, with these arguments."""
    words = list(into)
    if "--target" in words:
        return Path(words[words.index("--target") + 1])
    return Path(sysconfig.get_path("purelib"))


def requirements(covalent: str, cloudpickle: str) -> None:
    """Install the user's own packages, which may not bring other versions of these two."""
    if not (HERE / "requirements.txt").read_text(encoding="utf-8").strip():
        return
    pins = HERE / "pins.txt"
    pins.write_text(f"covalent=={covalent}\ncloudpickle=={cloudpickle}\n", encoding="utf-8")
    install("--requirement", str(HERE / "requirements.txt"), "--constraint", str(pins))


def plugin() -> None:
    """Install this plugin, see that it and Covalent can be imported, and make the user."""
    (wheel,) = HERE.glob("covalent_parallel_plugin-*.whl")
    # Its requirements are those of the dispatcher; the runner needs the standard library.
    install("--no-deps", "--no-index", str(wheel))
    check = "import covalent, covalent_parallel_plugin.runner.task_main; covalent.executor.GCPBatchExecutor"
    home = HERE / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-c", check], env={**os.environ, "HOME": str(home)}, check=True)
    make_user(Path("/etc"))
    HOME.mkdir(parents=True, exist_ok=True)
    os.chown(HOME, USER_ID, USER_ID)
    HOME.chmod(0o777)


def make_user(etc: Path) -> None:
    """Enter the user into `passwd` and `group`, which every base image has; their programs differ."""
    entries = {
        "passwd": f"{USER}:x:{USER_ID}:{USER_ID}::{HOME}:/bin/sh",
        "group": f"{USER}:x:{USER_ID}:",
    }
    for name, entry in entries.items():
        file = etc / name
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if not any(line.startswith(f"{USER}:") for line in text.splitlines()):
            file.write_text(text + ("\n" if text and not text.endswith("\n") else "") + entry + "\n", encoding="utf-8")


STEPS: dict[str, Callable[..., None]] = {"libraries": libraries, "requirements": requirements, "plugin": plugin}

if __name__ == "__main__":
    STEPS[sys.argv[1]](*sys.argv[2:])
