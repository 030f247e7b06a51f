"""The folder that an engine builds the image from."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ParallelError
from .wheel import write_wheel

PACKAGE = Path(__file__).resolve().parent.parent
COPIED = {
    "Dockerfile": PACKAGE / "assets" / "docker" / "Dockerfile",
    "cloudbuild.yaml": PACKAGE / "assets" / "docker" / "cloudbuild.yaml",
    "inside.py": PACKAGE / "image" / "inside.py",
}
# pip's options for other files: those would not be in the build
_OTHER_FILES = re.compile(r"\s*(-r|-c|-e|--requirement|--constraint|--editable|\.{0,2}/|file:)")


class RequirementsError(ParallelError):
    """The user's file of requirements cannot be used in a build."""


def read_requirements(path: str) -> str:
    """The text of a user's file of pip requirements.

    Raises:
        RequirementsError: it cannot be read, or points to other files of this machine.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RequirementsError(f"the requirements file {path} cannot be read: {reason}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if _OTHER_FILES.match(line):
            raise RequirementsError(
                f"line {number} of {path} names another file ({line.strip()!r}), which the build does not see: write"
                " packages and versions into one file (`pip freeze` does), or use a Dockerfile of your own"
            )
    return text


def write_context(folder: Path, requirements: str) -> list[Path]:
    """Put into a folder all that the Dockerfile copies, and the recipes themselves; return the files."""
    files = []
    for name, source in COPIED.items():
        (folder / name).write_bytes(source.read_bytes())
        files.append(folder / name)
    (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    return [*files, folder / "requirements.txt", write_wheel(folder)]
