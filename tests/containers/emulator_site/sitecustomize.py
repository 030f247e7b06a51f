"""Send Google's clients in this Python to the emulator, without credentials: for programs that have no option for it.

Put this file's folder into PYTHONPATH. Nothing else is changed: neither requests nor answers.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import google.auth
import grpc
from google.api_core import grpc_helpers
from google.auth.credentials import AnonymousCredentials


def emulator_channel(target: str, *_: Any, options: Any = None, **__: Any) -> grpc.Channel:
    service = target.partition(".")[0].upper()
    return grpc.insecure_channel(os.environ[f"{service}_EMULATOR_HOST"], options=options)


def no_credentials(*_: Any, **__: Any) -> tuple[AnonymousCredentials, str]:
    return AnonymousCredentials(), "local"


grpc_helpers.create_channel = emulator_channel
google.auth.default = no_credentials

with contextlib.suppress(ImportError):
    from googleapiclient import discovery

    build = discovery.build

    def emulator_api(service: str, version: str, **options: Any) -> Any:
        address = f"{os.environ[f'{service.upper()}_EMULATOR_HOST']}/{service}/{version}/"
        return build(service, version, **{**options, "client_options": {"api_endpoint": address}})

    discovery.build = emulator_api
