"""The identity of a sweep on Batch: its id is the journal's, its key is stored in its folder."""

from __future__ import annotations

import secrets

from ...protocol.sweep_identity import SweepIdentity
from ...protocol.sweep_objects import sweep_folder
from ..records.out_folder import OutFolder

KEY_BYTES = 32


def identity_of(name: str, sweep_id: str, key: bytes) -> SweepIdentity:
    """Return the identity of the sweep with this name, id and key."""
    return SweepIdentity(sweep_id, key, sweep_folder(name, sweep_id))


def kept_identity(out: OutFolder, name: str, sweep_id: str) -> SweepIdentity | None:
    """Return the identity of the sweep in a folder; None where it has no key yet. Raises OSError, OutFolderError."""
    key = out.key()
    return None if key is None else identity_of(name, sweep_id, key)


def new_identity(out: OutFolder, name: str, sweep_id: str) -> SweepIdentity:
    """Create the key of a sweep, and store it in its folder. Raises OSError."""
    key = secrets.token_bytes(KEY_BYTES)
    out.keep_key(key)
    return identity_of(name, sweep_id, key)
