"""Send Google's clients in this Python to the emulator, without credentials: for programs that have no option for it.

Put this file's folder into PYTHONPATH. Nothing else is changed: neither requests nor answers.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import google.auth
import grpc
from google.api_core import grpc_helpers
from google.auth.credentials import AnonymousCredentials

ADDRESSES = {
    "batch.googleapis.com": os.environ["BATCH_EMULATOR_HOST"],
    "logging.googleapis.com": os.environ["LOGGING_EMULATOR_HOST"],
}


def emulator_channel(target: str, *_: Any, options: Any = None, **__: Any) -> grpc.Channel:
    return grpc.insecure_channel(ADDRESSES[target.partition(":")[0]], options=options)


def no_credentials(*_: Any, **__: Any) -> tuple[AnonymousCredentials, str]:
    return AnonymousCredentials(), "local"


grpc_helpers.create_channel = emulator_channel
google.auth.default = no_credentials

try:
    from googleapiclient import discovery
except ImportError:
    pass
else:
    discovery.build = functools.partial(
        discovery.build, client_options={"api_endpoint": f"{os.environ['STORAGE_EMULATOR_HOST']}/storage/v1/"}
    )
