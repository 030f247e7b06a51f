"""Runs electrons through the replaced plugin's own `run()`; started by the Python that has it, see the test beside.

Arguments: Batch's address, a cache folder. Prints one JSON object: name of the case -> what came of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path

import covalent  # noqa: F401 (first: it loads the plugin and writes the plugin's defaults)
import grpc
from covalent_gcpbatch_plugin.gcpbatch import GCPBatchExecutor
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcAsyncIOTransport

BATCH, CACHE = sys.argv[1:]


class Executor(GCPBatchExecutor):
    """The plugin, without the Covalent server that it asks and tells, and pointed at a plaintext Batch."""

    @staticmethod
    def _get_batch_client():
        channel = grpc.aio.insecure_channel(BATCH)
        return batch_v1.BatchServiceAsyncClient(transport=BatchServiceGrpcAsyncIOTransport(channel=channel))

    async def get_cancel_requested(self):
        return False

    async def set_job_handle(self, handle):
        self.handle = handle


def multiply(a, b=1):
    print("multiplying")
    return {"product": a * b}


def divide(a):
    return a / 0


async def outcome(function, *args, **kwargs):
    executor = Executor(
        project_id="science",
        region="us-east1",
        bucket_name="covalent",
        container_image_uri="replaced:latest",
        service_account_email="runner@science.iam.gserviceaccount.com",
        poll_freq=1,
        retries=1,
        time_limit=60,
        cache_dir=CACHE,
    )
    dispatch_id = str(uuid.uuid4())
    try:
        # a job that ends without its object makes the plugin poll for ever, without a pause
        value = await asyncio.wait_for(
            executor.run(function, args, kwargs, {"dispatch_id": dispatch_id, "node_id": 0}), 90
        )
        return {"value": value, "handle": executor.handle}
    except RuntimeError as error:
        return {"error": str(error), "handle": executor.handle}
    finally:
        remove_leavings(dispatch_id)


def remove_leavings(dispatch_id):
    """Remove what the entry point writes into /tmp and leaves there: in a container nobody minds."""
    for left in Path("/tmp").glob(f"*-{dispatch_id}-0.*"):
        left.unlink()


async def main():
    cases = await asyncio.gather(outcome(multiply, 6, b=7), outcome(divide, 1))
    print(json.dumps(dict(zip(("value", "exception"), cases, strict=True))))


asyncio.run(main())
