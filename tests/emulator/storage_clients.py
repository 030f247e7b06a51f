"""Google's client of a Cloud Storage that runs here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from covalent_parallel_plugin.emulator.storage.server import StorageServer


@contextlib.contextmanager
def storage_client(server: StorageServer) -> Iterator[storage.Client]:
    options = {"api_endpoint": server.address}
    made = storage.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
    yield made
    made.close()
