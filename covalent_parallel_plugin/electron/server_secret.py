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
from ..protocol.object_names import cached_call_folder, call_folder

SECRET_BYTES = 32
CALL_ID_DIGITS = 16
CACHE_KEY_DIGITS = 32


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

    def cache_key(self, structure: str) -> str:
        """Derive the name under which the cache has the value of calls with this structure, in hexadecimal digits."""
        return self._derive("cache", structure).hex()[:CACHE_KEY_DIGITS]

    def cached_identity(self, cache_key: str, number: int) -> CallIdentity:
        """Return the identity of the call that makes the value under a cache key for the `number`-th time, from 0 on.

        It follows from the key, so that whoever wants the value meanwhile finds the call's job.
        """
        call_id = self._derive("cached call", cache_key, number).hex()[:CALL_ID_DIGITS]
        return self.identity_in_cache(cache_key, call_id)

    def identity_in_cache(self, cache_key: str, call_id: str) -> CallIdentity:
        """Return the identity of a call in the cache, with its key derived from the names in its folder."""
        key = self._derive("cached key", cache_key, call_id)
        return CallIdentity(call_id, key, cached_call_folder(cache_key, call_id))

    def record_key(self, cache_key: str) -> bytes:
        """Return the key that seals what the dispatcher records of a cached value; no job has it."""
        return self._derive("cache record", cache_key)

    def _derive(self, *names: str | int) -> bytes:
        # As JSON, so that no two lists of names are the same bytes. Not hmac.digest: that gives the interpreter to the
        # threads, and the event loop waits until it has it back.
        return hmac.new(self.secret, json.dumps(names).encode(), "sha256").digest()
