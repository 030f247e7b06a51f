"""The file with the server's secret: beside Covalent's configuration, made once, readable by its owner alone."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
import threading
from pathlib import Path

from ..electron.server_secret import SECRET_BYTES, ServerSecret
from ..errors import SecretFileError
from .config_file import used_config_path

logger = logging.getLogger(__name__)

FILE_NAME = "covalent-parallel.key"
LOST = "what earlier electrons left in the bucket cannot be fetched then"

# Read once, as its owner may have another one in every folder
_secrets: dict[Path, ServerSecret] = {}
_lock = threading.Lock()


def secret_path() -> Path:
    """Return where the file is; imports Covalent."""
    return used_config_path().with_name(FILE_NAME)


def known_secret(path: Path) -> ServerSecret | None:
    """Return the secret if this process has read or made it already."""
    return _secrets.get(path)


def server_secret(path: Path) -> ServerSecret:
    """Return the secret in the file, which is made if there is none; in memory alone where it cannot be made.

    Raises:
        SecretFileError: there is a file, and it cannot be used.
    """
    with _lock:
        if path not in _secrets:
            _secrets[path] = read_secret(path) or _make_secret(path)
        return _secrets[path]


def read_secret(path: Path) -> ServerSecret | None:
    """Return the secret in the file; None if there is no file.

    Raises:
        SecretFileError: it cannot be read, others can read it, or it holds no secret.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4 * SECRET_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SecretFileError(
            f"the server's secret {path} cannot be read: {error.strerror}. Make it readable for the user of the"
            f" Covalent server, or move it away: a new one is made, and {LOST}"
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretFileError(
            f"the server's secret {path} can be used by others (its mode is {mode:o}): run `chmod 600 {path}`"
        )
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise SecretFileError(
            f"{path} does not hold the server's secret, which is {2 * SECRET_BYTES} hexadecimal digits: restore it, or"
            f" move it away: a new one is made, and {LOST}"
        )
    return ServerSecret(secret)


def _make_secret(path: Path) -> ServerSecret:
    """Write a new secret, whole or not at all; where another process was first, its secret counts."""
    made = ServerSecret.random()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made for the owner alone, whatever the umask
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{FILE_NAME}-") as file:
            file.write(f"{made.secret.hex()}\n".encode())
            file.flush()
            os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
        return read_secret(path) or made
    except OSError as error:
        logger.warning(
            "The server's secret %s cannot be made (%s), so this process has one in memory: electrons run, and what"
            " they leave in the bucket cannot be fetched after its end, nor taken from the cache. Make the folder"
            " writable for the user of the Covalent server.",
            path,
            error.strerror,
        )
        return made
