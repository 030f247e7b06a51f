"""The secret of a Covalent server, and what is derived from it: the id of a call, and the key that seals its objects.

So no key is stored for a call: its folder in the bucket names the dispatch, the node and the call, and whoever has the
secret can derive the key again, after a restart of the server too.
"""

from __future__ import annotations

import hmac
import json
import os
from dataclasses import dataclass, field

from ..protocol.identity import CallIdentity
from ..protocol.object_names import call_folder

SECRET_BYTES = 32
CALL_ID_DIGITS = 16


@dataclass(frozen=True)
class ServerSecret:
    """The bytes of one server's secret."""

    secret: bytes = field(repr=False)

    @classmethod
    def random(cls) -> ServerSecret:
        """Return a new secret."""
        return cls(os.urandom(SECRET_BYTES))

    def call_id(self, dispatch_id: str, node_id: int, digest: str, nonce: str = "") -> str:
        """Derive the id of a call whose content has this digest, in hexadecimal digits.

        `nonce` distinguishes calls of the same content that must not share their objects.
        """
        return self._derive("call", dispatch_id, node_id, digest, nonce).hex()[:CALL_ID_DIGITS]

    def identity(self, dispatch_id: str, node_id: int, call_id: str) -> CallIdentity:
        """Return a call's identity, with its key derived from the names in its folder."""
        key = self._derive("key", dispatch_id, node_id, call_id)
        return CallIdentity(call_id, key, call_folder(dispatch_id, node_id, call_id))

    def _derive(self, *names: str | int) -> bytes:
        # As JSON, so that no two lists of names are the same bytes. Not hmac.digest: that gives the interpreter to the
        # threads, and the event loop waits until it has it back.
        return hmac.new(self.secret, json.dumps(names).encode(), "sha256").digest()
