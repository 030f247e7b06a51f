"""This machine's pip settings for pip in a container: a pip.conf, and the local files that it names as volumes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

HANDED_ON = ("cert", "extra-index-url", "find-links", "index-url", "no-index", "timeout", "trusted-host")


def outer_pip(folder: Path) -> tuple[Path, list[str]]:
    """Write a pip.conf into the folder; return it and the volumes, in the form of podman's --volume."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    for section, key, value in re.findall(r"^(:env:|global|install)\.([\w.-]+)=(.+)$", listed, re.MULTILINE):
        name = key.lstrip(".").replace("default-timeout", "timeout")
        # pip's variables go before its files
        if name in HANDED_ON and (section == ":env:" or name not in settings):
            settings[name] = str(ast.literal_eval(value))
    conf = folder / "pip.conf"
    lines = [f"{name} = {' '.join(value.split())}" for name, value in settings.items()]
    conf.write_text("\n".join(["[global]", *lines]) + "\n")
    conf.chmod(0o644)
    return conf, sorted({f"{path}:{path}:ro" for value in settings.values() for path in _local(value)})


def _local(value: str) -> list[str]:
    paths = []
    for word in value.split():
        path = Path(unquote(urlsplit(word).path) if word.startswith("file:") else word)
        if path.is_absolute():
            # pip passes over what is not there, and an engine does not
            while not path.exists():
                path = path.parent
            if word.startswith("file:"):
                # an index's pages point to files beside it
                path = path.parent
            # the root of a machine is not for a container
            paths += [str(path)] if len(path.parts) > 2 else []
    return paths
