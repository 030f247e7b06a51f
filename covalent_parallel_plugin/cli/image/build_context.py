"""The folder that an engine builds the image from."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import MistakeError
from .wheel import write_wheel

PACKAGE = Path(__file__).resolve().parents[2]
COPIED = {
    "Dockerfile": PACKAGE / "assets" / "docker" / "Dockerfile",
    "cloudbuild.yaml": PACKAGE / "assets" / "docker" / "cloudbuild.yaml",
    "dockerfile_steps.py": PACKAGE / "cli" / "image" / "dockerfile_steps.py",
}
# pip's options for other files: those would not be in the build
_OTHER_FILES = re.compile(r"\s*(-r|-c|-e|--requirement|--constraint|--editable|\.{0,2}/|file:)")

# A password or a token in a URL, which would stay in the image
_PASSWORD = re.compile(r"https?://[^/\s]*@|://[^/\s]*:[^/\s]*@", re.IGNORECASE)


class RequirementsError(MistakeError):
    """The user's file of requirements cannot be used in a build."""


def read_requirements(path: str) -> str:
    """The text of a user's file of pip requirements.

    Raises:
        RequirementsError: it cannot be read, points to other files of this machine, or has a password in it.
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
        if _PASSWORD.search(line):
            raise RequirementsError(
                f"line {number} of {path} has a password in its URL, which would stay in the image: put that index into"
                " a pip.conf and name it with --pip-conf, which is there during the build only"
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
