"""Four requests for each electron by google-cloud-storage's own client; run by path, with dispatcher.py's protocol.

Argument: a JSON object with "bucket", "electrons", "call_bytes" and "outcome_bytes". For each electron a call is
written, an outcome that lies there is read, and both are deleted: what this plugin's dispatcher asks of Cloud Storage,
by a client as it comes, in as many threads as this plugin has.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

warnings.simplefilter("ignore")

from google.cloud import storage  # noqa: E402 (after the filter)
from usage import cpu_seconds  # noqa: E402

THREADS = 16


def main() -> None:
    given = json.loads(sys.argv[1])
    bucket = storage.Client(project="benchmark").bucket(given["bucket"])
    call, outcome = os.urandom(given["call_bytes"]), os.urandom(given["outcome_bytes"])
    numbers = range(given["electrons"])

    def prepare(number: int) -> None:
        bucket.blob(f"{number}/outcome").upload_from_string(outcome)

    def four(number: int) -> None:
        bucket.blob(f"{number}/call").upload_from_string(call)
        if bucket.blob(f"{number}/outcome").download_as_bytes() != outcome:
            raise RuntimeError("an object came back wrong")
        bucket.blob(f"{number}/call").delete()
        bucket.blob(f"{number}/outcome").delete()

    with ThreadPoolExecutor(THREADS) as pool:
        # makes connections as well, as a warm-up
        list(pool.map(prepare, numbers))
        print(json.dumps({"versions": {"google-cloud-storage": version("google-cloud-storage")}}), flush=True)
        sys.stdin.readline()
        wall, cpu = time.perf_counter(), cpu_seconds()
        list(pool.map(four, numbers))
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}), flush=True)


if __name__ == "__main__":
    main()
