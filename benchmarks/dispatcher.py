"""One contender's dispatcher: hands electrons to its `run()` as Covalent's server does; run by its own Python, by path.

Argument: a JSON object, see `Dispatcher` in contenders.py. After the warm-up it prints a line of JSON and waits for a
line on standard input, so that counters can be read; then it runs what is measured and prints a line of results.
Only the standard library, Covalent, the contender itself, and files of this folder that need no more are imported.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
import warnings
from functools import partial
from importlib.metadata import PackageNotFoundError, version

warnings.simplefilter("ignore")

from covalent._workflow.transport import TransportableObject  # noqa: E402 (after the filter)
from covalent.executor.base import AsyncBaseExecutor  # noqa: E402
from covalent.executor.utils.wrappers import wrapper_fn  # noqa: E402
from usage import Lag, cpu_seconds, peak_mb, resident_mb  # noqa: E402

SHOWN_VERSIONS = ("covalent", "google-cloud-batch", "google-cloud-storage", "grpcio")
ELECTRON_SECONDS = 500
WARM_UP_NODE = 100_000

given = json.loads(sys.argv[1])


def nothing():
    return None


def sleeping(seconds):
    return lambda: time.sleep(seconds)


def random_bytes(size):
    return lambda: os.urandom(size)


def held(gate):
    """A function of one argument, which it returns once the file `gate` exists."""

    def wait(number):
        from pathlib import Path

        deadline = time.monotonic() + ELECTRON_SECONDS
        while not Path(gate).exists():
            if time.monotonic() > deadline:
                raise TimeoutError(gate)
            time.sleep(0.02)
        return number

    return wait


class Sleeper(AsyncBaseExecutor):
    """The floor: sleeps as long as it is told for the electron's number, which it returns."""

    def __init__(self, **options):
        super().__init__()

    async def run(self, function, args, kwargs, task_metadata):
        number = task_metadata["node_id"]
        await asyncio.sleep(0 if number >= WARM_UP_NODE else given["seconds"][number])
        return TransportableObject(number)


def plugin():
    """The contender's executor, without the parts of Covalent's server that it asks and tells."""
    if given["plugin"] == "floor":
        return Sleeper
    if given["plugin"] == "replaced":
        import grpc
        from covalent_gcpbatch_plugin.gcpbatch import GCPBatchExecutor
        from google.cloud import batch_v1
        from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcAsyncIOTransport

        def new_client():
            # as the plugin's own: a new one for each call; only the address differs
            channel = grpc.aio.insecure_channel(os.environ["BATCH_EMULATOR_HOST"])
            return batch_v1.BatchServiceAsyncClient(transport=BatchServiceGrpcAsyncIOTransport(channel=channel))

        different = {"_get_batch_client": staticmethod(new_client)}
    else:
        from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

        different = {}

    async def get_cancel_requested(self):
        return False

    async def set_job_handle(self, handle):
        return None

    methods = {"get_cancel_requested": get_cancel_requested, "set_job_handle": set_job_handle, **different}
    return type("Executor", (GCPBatchExecutor,), methods)


def executor(kind, poll_seconds, **more):
    """A new one for each electron, as Covalent's server makes it."""
    return kind(
        project_id="benchmark",
        region="us-east1",
        bucket_name=given["bucket"],
        container_image_uri=given["image"],
        service_account_email="runner@benchmark.iam.gserviceaccount.com",
        poll_freq=poll_seconds,
        time_limit=ELECTRON_SECONDS,
        cache_dir=given["cache"],
        **more,
    )


async def run(kind, function, node_id, poll_seconds=given["poll_seconds"]):
    wrapped = partial(wrapper_fn, TransportableObject(function), [], [])
    return await executor(kind, poll_seconds).run(
        wrapped, [], {}, {"dispatch_id": given["dispatch_id"], "node_id": node_id}
    )


async def measure_electrons(kind):
    function = sleeping(given["electron_seconds"]) if "electron_seconds" in given else nothing
    wall, cpu = time.perf_counter(), cpu_seconds()
    values = await asyncio.gather(*(run(kind, function, node_id) for node_id in range(given["electrons"])))
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    if [value.get_deserialized() for value in values] != [None] * given["electrons"]:
        raise RuntimeError("a value came back wrong")
    return {"wall": wall, "cpu": cpu, "peak": peak_mb()}


async def measure_memory(kind):
    before = peak_mb()
    value = await run(kind, random_bytes(given["payload_bytes"]), 0)
    returned = peak_mb() - before
    if len(value.get_deserialized()) != given["payload_bytes"]:
        raise RuntimeError("the value came back wrong")
    read = peak_mb() - before
    value.serialize()
    return {"returned": returned, "read": read, "serialized": peak_mb() - before}


def mapped(item_seconds, item_bytes):
    """A function of one item; a map of it as Covalent hands it over, and its items as pmap does."""
    from covalent_parallel_plugin import pmap
    from covalent_parallel_plugin.covalent_api.graph_inputs import PickledValue
    from covalent_parallel_plugin.protocol.map_marker import items_label

    def item(number):
        time.sleep(item_seconds)
        return number if item_bytes is None else os.urandom(item_bytes)

    return pmap(item)._electron.electron_object.function, PickledValue(
        list(range(given["items"])), items_label(given["items"])
    )


async def measure_map(kind):
    function, items = mapped(given["item_seconds"], given["item_bytes"])
    wrapped, held = partial(wrapper_fn, TransportableObject(function), [], []), TransportableObject(items)
    before, wall, cpu = peak_mb(), time.perf_counter(), cpu_seconds()
    value = await executor(kind, given["poll_seconds"]).run(
        wrapped, [held], {}, {"dispatch_id": given["dispatch_id"], "node_id": 0}
    )
    measured = {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu, "returned": peak_mb() - before}
    size = len(value.pickle)
    if given["item_bytes"] is None:
        if value.get_deserialized() != list(range(given["items"])):
            raise RuntimeError("a value came back wrong")
    elif size < given["items"] * given["item_bytes"]:
        raise RuntimeError(f"{size} bytes came back")
    value.serialize()
    return {**measured, "serialized": peak_mb() - before}


async def measure_flight(kind):
    """`lag` says whether the loop's lag is watched, which takes CPU of its own."""
    count, function, lag = given["electrons"], held(given["gate"]), Lag()
    handed = [
        (partial(wrapper_fn, TransportableObject(function), [], []), [TransportableObject(number)])
        for number in range(count)
    ]
    gc.collect()
    watcher = asyncio.create_task(lag.watch()) if given["lag"] else None
    # so that it sleeps when the electrons come
    await asyncio.sleep(0.1)
    memory, cpu, loop_cpu, begun = resident_mb(), cpu_seconds(), time.thread_time(), time.perf_counter()

    async def fly(number):
        function, args = handed[number]
        metadata = {"dispatch_id": given["dispatch_id"], "node_id": number}
        value = await executor(kind, given["poll_seconds"]).run(function, args, {}, metadata)
        return value, time.perf_counter() - begun

    landed = await asyncio.gather(*map(fly, range(count)))
    measured = {
        "wall": time.perf_counter() - begun,
        "cpu": cpu_seconds() - cpu,
        "loop_cpu": time.thread_time() - loop_cpu,
        "grown": max(peak_mb() - memory, 0.0),
        "seconds": [seconds for _, seconds in landed],
    }
    if watcher is not None:
        watcher.cancel()
        measured |= lag.told()
    if [value.get_deserialized() for value, _ in landed] != list(range(count)):
        raise RuntimeError("a value came back wrong")
    return measured


async def measure_sizes(kind):
    """The bytes of what an electron leaves in the bucket if it is kept: of its call, and of its outcome."""
    wrapped = partial(wrapper_fn, TransportableObject(held("/")), [], [])
    metadata = {"dispatch_id": given["dispatch_id"], "node_id": 0}
    await executor(kind, 1, keep_objects=True).run(wrapped, [TransportableObject(0)], {}, metadata)
    from google.cloud import storage

    found = storage.Client(project="benchmark").list_blobs(given["bucket"])
    sizes = {blob.name.rsplit("/", 1)[-1]: blob.size for blob in found if given["dispatch_id"] in blob.name}
    return {"sizes": sizes}


async def measure_payload(kind):
    """`payload_bytes` there and back, `repeats` times."""
    # beside this file; only this measure needs it
    from payload_transfers import transfers

    return await transfers(lambda: executor(kind, given["poll_seconds"]), given)


MEASURES = {
    "electrons": measure_electrons,
    "payload": measure_payload,
    "memory": measure_memory,
    "map": measure_map,
    "flight": measure_flight,
    "sizes": measure_sizes,
}


async def main():
    kind, measure = plugin(), MEASURES[given["measure"]]
    # several at once have the threads and connections made that a server has
    nodes = range(WARM_UP_NODE, WARM_UP_NODE + given.get("warm_up", 1))
    await asyncio.gather(*(run(kind, nothing, node_id, poll_seconds=1) for node_id in nodes))
    print(json.dumps({"versions": versions()}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print(json.dumps(await measure(kind)), flush=True)
    # Clients that the replaced plugin never closes would make the interpreter's end slow and noisy
    os._exit(0)


def versions():
    found = {}
    for name in SHOWN_VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


asyncio.run(main())
