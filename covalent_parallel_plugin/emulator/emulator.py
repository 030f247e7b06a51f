"""Start and stop the services together, on loopback."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence

from .batch.server import BatchServer
from .execution.scheduler import Scheduler, Timing
from .execution.vm_pool import VmModel
from .faults.fault import Faults
from .faults.plan import FaultPlan
from .logging.server import LoggingServer
from .metadata.server import MetadataServer
from .model.callers import Callers
from .model.job_summary import JobSummary
from .model.log_store import LogStore
from .model.runtime_interface import Runtime
from .model.service import LocalService
from .project.resources import ProjectResources
from .project.secrets import Secrets
from .runtimes.process import ProcessRuntime
from .runtimes.task_environment import SERVICES
from .storage.refusals import StorageRefusal
from .storage.server import StorageServer


class PortTaken(OSError):
    """A service's port is in use; `service` is "storage", "batch" or "logging", `port` its number."""

    def __init__(self, service: str, port: int) -> None:
        super().__init__(f"port {port} of the {service} service is taken")
        self.service = service
        self.port = port


class Emulator(LocalService):
    """Cloud Storage, Batch and Cloud Logging on 127.0.0.1; a context manager.

    A port of 0 takes a free one. A port of None leaves a service out: tasks then reach the one that this process's own
    environment names, if it names one. `tasks_at_once` bounds the tasks that run at a time (default: the number of
    CPUs, at least 2; with limited VMs as many as these take). `machines` models VMs, which tasks wait for. `faults` are
    what is to go wrong: the attribute of that name is a plan, which can be replaced while the emulator runs, and counts
    what took place. Past `log_reads_per_minute` (None: no limit; Google's is 60) Cloud Logging refuses to be read.
    `known` is what exists in the project (see docs/reference/emulator.md). `secrets` are the values that tasks may
    have, by projects/PROJECT/secrets/SECRET/versions/VERSION; ValueError for another form. Tasks run on `runtime`,
    by default as processes. `on_job_end` is called once for each job, on threads of the emulator, which wait for it.
    It starts once; after `stop()` no thread, process, container or file of it is left.
    """

    def __init__(
        self,
        storage_port: int | None = 0,
        batch_port: int | None = 0,
        logging_port: int | None = 0,
        buckets: Sequence[str] = ("covalent",),
        runtime: Runtime | None = None,
        timing: Timing | None = None,
        tasks_at_once: int | None = None,
        faults: Faults | None = None,
        log_reads_per_minute: int | None = None,
        known: ProjectResources | None = None,
        secrets: Mapping[str, str] | None = None,
        machines: VmModel | None = None,
        on_job_end: Callable[[JobSummary], None] = lambda ended: None,
    ) -> None:
        self._on_job_end = on_job_end
        named = () if known is None else known.secrets or ()
        self._secrets = Secrets(secrets, named)
        self._known = (ProjectResources() if known is None else known).with_secrets(secrets or ())
        self.faults = FaultPlan(faults)
        self.logs = LogStore()
        self.storage: StorageServer | None = None
        self.batch: BatchServer | None = None
        self._logging: LoggingServer | None = None
        self._ports = {"storage": storage_port, "batch": batch_port, "logging": logging_port}
        self._buckets = tuple(buckets)
        self._runtime = runtime
        self._timing = timing
        self._tasks_at_once = tasks_at_once
        self._machines = machines
        self._log_reads_per_minute = log_reads_per_minute
        self._scheduler: Scheduler | None = None
        self._metadata: MetadataServer | None = None

    def start(self) -> None:
        """Start the services.

        Raises PortTaken, and ValueError for an illegal bucket name; nothing is left running then.
        """
        try:
            runtime = ProcessRuntime() if self._runtime is None else self._runtime
            scheduler = self._scheduler = Scheduler(
                runtime,
                self.logs,
                timing=self._timing,
                tasks_at_once=self._tasks_at_once,
                faults=self.faults,
                secrets=self._secrets,
                machines=self._machines,
            )
            callers = Callers(runtime.task_users)
            # A process has no image: an interpreter of this machine stands for it
            self._start_services(scheduler, callers, not isinstance(runtime, ProcessRuntime))
            self._metadata = MetadataServer(scheduler.addresses, callers)
            self._metadata.start()
        except BaseException:
            self.stop()
            raise
        scheduler.services.update(self.environment)
        scheduler.start()
        if self.batch is not None:
            self.batch.start()

    def stop(self) -> None:
        """End everything: no new calls, tasks ended, ports released."""
        with contextlib.ExitStack() as stack:  # one that fails does not keep the next from stopping
            for service in (self.storage, self._logging, self._metadata, self._scheduler, self.batch):
                if service is not None:
                    stack.callback(service.stop)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point clients at the services."""
        addresses = (self.storage, self.batch, self._logging)
        return {name: service.address for name, service in zip(SERVICES, addresses, strict=True) if service is not None}

    @property
    def counts(self) -> dict[str, float]:
        """The numbers of "attempts" and "tasks" so far (tasks that have ended), of "vms", and "vm_seconds".

        With `machines` also the "vms_at_most" at a time, and "vm_billed_seconds".
        """
        if self._scheduler is None:
            return dict.fromkeys(("attempts", "tasks", "vms", "vm_seconds"), 0)
        return self._scheduler.counts

    @property
    def rpc_counts(self) -> dict[str, int]:
        """The number of calls to Batch by method."""
        return {} if self.batch is None else self.batch.rpc_counts

    @property
    def request_counts(self) -> dict[str, int]:
        """The number of requests to Cloud Storage, and to the JSON APIs at its address, by kind."""
        return {} if self.storage is None else dict(self.storage.request_counts)

    def _other_counts(self) -> dict[str, float | dict[str, int]]:
        return {**self.counts, "batch_calls": self.rpc_counts, "faults_consumed": self.faults.consumed}

    def _start_services(self, scheduler: Scheduler, callers: Callers, runs_images: bool) -> None:
        for service, port in self._ports.items():
            if port is None:
                continue
            try:
                if service == "storage":
                    self.storage = StorageServer(
                        port,
                        self._buckets,
                        faults=self.faults,
                        other_counts=self._other_counts,
                        known=self._known,
                        callers=callers,
                        runtime=lambda: {
                            "runs_images": runs_images,
                            "process": os.getpid(),
                            "services": self.environment,
                        },
                    )
                    self.storage.start()
                elif service == "batch":
                    self.batch = BatchServer(scheduler, port, self.faults, self._known, self._on_job_end, callers)
                    self.batch.bind()  # it answers only once the scheduler runs
                else:
                    self._logging = LoggingServer(
                        self.logs, port, self._log_reads_per_minute, faults=self.faults, callers=callers
                    )
                    self._logging.start()
            except StorageRefusal as refusal:
                raise ValueError(str(refusal)) from refusal
            except OSError as error:
                raise PortTaken(service, port) from error
