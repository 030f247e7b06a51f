"""The emulated services in a process of their own, whose counts the process that started it can read as it runs.

Argument: a JSON object with "images" (URI -> command), "is_warm" (whether tasks are forked from a warm process),
"tasks_at_once" (null: as the emulator does) and "machines" (the model of VMs, or null). Prints one line of JSON, the
variables that point clients at the services; then answers every line on standard input with one line of JSON, all
counts so far. Ends with its input.
"""

from __future__ import annotations

import json
import resource
import signal
import sys

from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime
from covalent_parallel_plugin.emulator.execution.vm_pool import VmModel

from .fork_runtime import ForkRuntime


def main() -> None:
    # Ctrl-C reaches the whole group; this process ends when its parent closes its input
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = json.loads(sys.argv[1])
    runtime = (ForkRuntime if options["is_warm"] else ProcessRuntime)(images=options["images"])
    machines = None if options["machines"] is None else VmModel(**options["machines"])
    with Emulator(runtime=runtime, tasks_at_once=options["tasks_at_once"], machines=machines) as services:
        print(json.dumps(services.environment), flush=True)
        for _ in sys.stdin:
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            tasks = {**services.counts, "cpu_seconds": ended.ru_utime + ended.ru_stime}
            counts = {"batch": services.rpc_counts, "storage": services.request_counts, "tasks": tasks}
            print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
