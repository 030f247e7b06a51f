"""In a dispatcher's process: bytes that go to a task as its argument and come back as its value, seconds and memory.

Part of dispatcher.py, and like it run by the Python of either plugin. This plugin's own part is seen at two of its
methods; google-cloud-storage's client moves the same bytes in the same process, right before and right after.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import gc
import hashlib
import os
import time
from functools import partial
from statistics import mean

import cloudpickle
from covalent._workflow.transport import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn

BYTES_PER_MB = 1_000_000
MEMORY_REPEATS = 2


class Peak:
    """The resident set's growth since the last `begin`, in MB: of its peak, which Linux lets a process set back."""

    def begin(self):
        gc.collect()
        # What is free already would take what comes, and nothing would grow
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        self._before = self._read("VmRSS")

    def grown(self):
        return max(self._read("VmHWM") - self._before, 0.0)

    def _read(self, name):
        with open("/proc/self/status") as file:
            (line,) = (line for line in file if line.startswith(name))
        return int(line.split()[1]) * 1024 / BYTES_PER_MB


class Parts:
    """This plugin's own parts of a run: from the pickles to the call in the bucket, and from the job's end on.

    With `beside`, google-cloud-storage's client moves the same bytes right before and right after each part, in a
    thread as the plugin's own transfers are: how long a transfer takes here depends on what came before it. That takes
    memory, so memory is looked at without.
    """

    def __init__(self):
        self.there_seconds = self.there_grown = 0.0
        self.ended_at = self.collected_seconds = self.resumed_at = 0.0
        self.peak = Peak()
        self.beside = None
        self.plain_there, self.plain_back = [], []

    def back_seconds(self, ended):
        """From the job's end to `run()`'s at `ended`, without what the plain client took in between."""
        return self.collected_seconds + ended - self.resumed_at

    def watch(self):
        from covalent_parallel_plugin.batch.job_run import JobRun
        from covalent_parallel_plugin.electron.electron_run import ElectronRun
        from covalent_parallel_plugin.protocol.object_names import outcome_name

        stage, collect = JobRun.stage, ElectronRun._collect

        async def timed_stage(jobs, sealed):
            largest = max(sealed(), key=len) if self.beside is not None else None

            async def plain():
                if self.beside is not None:
                    self.plain_there.append(await asyncio.to_thread(self.beside.up, largest))

            await plain()
            begun = time.perf_counter()
            await stage(jobs, sealed)
            self.there_seconds = time.perf_counter() - begun
            self.there_grown = self.peak.grown()
            await plain()

        async def timed_collect(run, *args):
            name = outcome_name(run._jobs.owner.identity.folder)

            async def plain():
                if self.beside is not None:
                    self.plain_back.append(await asyncio.to_thread(self.beside.down, name))

            await plain()
            self.peak.begin()
            self.ended_at = time.perf_counter()
            collected = await collect(run, *args)
            # Before anything else takes time: what is left of the way back are deletions and the way out of run()
            self.collected_seconds = time.perf_counter() - self.ended_at
            await plain()
            self.resumed_at = time.perf_counter()
            return collected

        JobRun.stage, ElectronRun._collect = timed_stage, timed_collect


def argument(data):
    """Of bytes what Covalent's server hands over; without their repr(), which is longer than all else."""
    held = TransportableObject(b"")
    held._object = base64.b64encode(cloudpickle.dumps(data)).decode()
    return held


class Plain:
    """google-cloud-storage's own client, without an option."""

    def __init__(self, bucket_name):
        from google.cloud import storage

        self._bucket = storage.Client(project="benchmark").bucket(bucket_name)
        self._bucket.blob("plain-warm-up").upload_from_string(b"x")

    def up(self, data):
        """Seconds that an upload takes; the object is removed again."""
        blob = self._bucket.blob(f"plain-{time.monotonic_ns()}")
        begun = time.perf_counter()
        blob.upload_from_string(data)
        seconds = time.perf_counter() - begun
        blob.delete()
        return seconds

    def down(self, name):
        """Seconds that a download takes."""
        begun = time.perf_counter()
        self._bucket.blob(name).download_as_bytes()
        return time.perf_counter() - begun

    def there_and_back(self, data):
        """Seconds of both ways, and by how many MB the peak of the resident set grew in each."""
        blob, peak = self._bucket.blob(f"plain-{time.monotonic_ns()}"), Peak()
        peak.begin()
        begun = time.perf_counter()
        blob.upload_from_string(data)
        there, there_grown = time.perf_counter() - begun, peak.grown()
        peak.begin()
        begun = time.perf_counter()
        came = blob.download_as_bytes()
        back, back_grown = time.perf_counter() - begun, peak.grown()
        if came != data:
            raise RuntimeError("an object came back wrong")
        blob.delete()
        return {"run": there + back, "there grown": there_grown, "back grown": back_grown}


async def transfers(new_executor, given):
    """Lists by measure, one value for each repetition; those of google-cloud-storage begin with "plain ".

    Of this plugin the first repetitions are for memory and the time of all of `run()`, the others for speed.
    """
    is_ours = given["plugin"] == "ours"
    parts = Parts()
    if is_ours:
        parts.watch()
        plain = Plain(given["bucket"])
    found = {}

    def note(**values):
        for name, value in values.items():
            found.setdefault(name.replace("_", " "), []).append(value)

    for node_id in range(given["repeats"]):
        data = os.urandom(given["payload_bytes"])
        is_for_speed = is_ours and node_id >= MEMORY_REPEATS
        parts.beside = plain if is_for_speed else None
        # One of the two before and one after, so that neither is always the first
        before = plain.there_and_back(data) if is_ours and not is_for_speed else None
        digest, held = hashlib.sha256(data).digest(), argument(data)
        del data
        wrapped = partial(wrapper_fn, TransportableObject(lambda data: data), [], [])
        metadata = {"dispatch_id": given["dispatch_id"], "node_id": node_id}
        whole = Peak()
        (parts.peak if is_ours else whole).begin()
        begun = time.perf_counter()
        value = await new_executor().run(wrapped, [held], {}, metadata)
        ended = time.perf_counter()
        if is_for_speed:
            note(there=parts.there_seconds, back=parts.back_seconds(ended))
            note(plain_there=mean(parts.plain_there[-2:]), plain_back=mean(parts.plain_back[-2:]))
        elif is_ours:
            note(run=ended - begun, there_grown=parts.there_grown, back_grown=parts.peak.grown())
        else:
            note(run=ended - begun, run_grown=whole.grown())
        del held
        if is_ours:
            parts.peak.begin()
            value.serialize()
            note(serialized_grown=parts.peak.grown())
        data = value.get_deserialized()
        if hashlib.sha256(data).digest() != digest:
            raise RuntimeError("a value came back wrong")
        del value
        if before is not None:
            after = plain.there_and_back(data)
            for name in ("there grown", "back grown"):
                note(**{f"plain_{name}": (before[name] + after[name]) / 2})
            # what a task does too: down, and up
            note(plain_run=before["run"] + after["run"])
        del data
    return found
