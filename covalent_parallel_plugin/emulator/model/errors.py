"""Define the errors that services answer with: gRPC statuses, and Google's error for an API that is not enabled."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # has no stubs

BODILESS = (204, 205, 304)
"""Statuses of answers without a body (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""


class RpcError(Exception):
    """A gRPC call is answered with an error.

    `code` is the name of a gRPC status, `details` a serialized google.rpc.Status for the trailer, b"" for none.
    """

    def __init__(self, code: str, message: str, details: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.details = details


def service_disabled_text(service: str, title: str, project: str) -> str:
    """Return Google's text for an API that is not enabled, with the emulator's file in place of the console's page."""
    return (
        f"{title} has not been used in project {project} before or it is disabled. Enable it by taking {service} out"
        " of disabled_apis in the emulator's --known file then retry. If you enabled this API recently, wait a few"
        " minutes for the action to propagate to our systems and retry."
    )


def batch_disabled(project: str) -> RpcError:
    """Return Google's error, with its details (google.rpc.ErrorInfo), where the Batch API is not enabled."""
    message = service_disabled_text("batch.googleapis.com", "Batch API", project)
    info = error_details_pb2.ErrorInfo(
        reason="SERVICE_DISABLED",
        domain="googleapis.com",
        metadata={"service": "batch.googleapis.com", "consumer": f"projects/{project}"},
    )
    detail = any_pb2.Any()
    detail.Pack(info)
    code = grpc.StatusCode.PERMISSION_DENIED
    status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
    return RpcError(code.name, message, status.SerializeToString())
