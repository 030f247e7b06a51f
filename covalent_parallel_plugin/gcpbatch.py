"""GCPBatchExecutor: Covalent's contract for an executor plugin, and nothing else.

Covalent imports this module with itself, so nothing of Google's is imported here, and nothing is done
but that cloudpickle learns of functions with a cache, and of names in the bodies of classes, that functions carry where
their own modules are, and that a workflow's last node brings no lattice.
"""

from __future__ import annotations

import sys

if "covalent" not in sys.modules:
    # Covalent imports its plugins while it is imported. Begun by this module, it would find it half made: so it begins
    # itself, imports this module whole, and that one is what the importer gets.
    del sys.modules[__name__]
    import covalent  # noqa: F401

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import cloudpickle
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError
from covalent._shared_files.schemas.asset import AssetUpdate
from covalent._shared_files.util_classes import RESULT_STATUS
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.base import AsyncBaseExecutor
from covalent.executor.schemas import TaskUpdate

from .batch.cancellation import Cancellation, CancelledCall
from .batch.deferred_deletion import DELETION
from .covalent_api import gc_freeze
from .covalent_api.carried_paths import carry_import_paths
from .covalent_api.config_file import configured_options
from .covalent_api.large_inputs import allow_large_inputs, bring_no_lattice
from .covalent_api.lineage import FIELD
from .covalent_api.running_nodes import NodeId, RunningNodes
from .covalent_api.server_end import ServerEnd
from .errors import ParallelError
from .protocol.cached_functions import carry_cached_functions, carry_names_of_class_bodies
from .settings import options
from .settings.own_frames import hide_own_frames
from .settings.resolve_options import refuse_unknown, resolve_options

if TYPE_CHECKING:
    from .electron.verdict import Failure

EXECUTOR_PLUGIN_NAME = "GCPBatchExecutor"

# None, so that a configuration file written once does not freeze a default for ever: Covalent merges these into
# `[executors.gcpbatch]`, and TOML has no None.
_EXECUTOR_PLUGIN_DEFAULTS: dict[str, object] = dict.fromkeys(options.OPTIONS)

# Loaded when the first electron runs
ENGINE = "covalent_parallel_plugin.covalent_api.run"

_nodes = RunningNodes()
_server_end = ServerEnd(_nodes, DELETION)

carry_cached_functions(cloudpickle)
carry_names_of_class_bodies(cloudpickle)
carry_import_paths(TransportableObject)
# Here, since an electron may have its executor by name
bring_no_lattice()


class GCPBatchExecutor(AsyncBaseExecutor):
    """Runs electrons as Google Batch jobs.

    An option that is not given is taken from `[executors.gcpbatch]` in Covalent's configuration file, else it has its
    default. `docs/reference/options.md` has the table of units, defaults and rules, which come from `settings.OPTIONS`.

    Raises:
        SettingsError: values given here that are wrong, all of them in one message. Missing ones, and those in the
            configuration file, are checked when an electron runs.
        TypeError: a keyword that is not an option.
    """

    # Of the electron that this one runs; set where that is, so it is never among the attributes that Covalent carries
    _failure: Exception | None = None

    @hide_own_frames
    def __init__(
        self,
        bucket_name: str | None = None,
        container_image_uri: str | None = None,
        service_account_email: str | None = None,
        project_id: str | None = None,
        region: str | None = None,
        vcpus: float | None = None,
        memory: int | None = None,
        time_limit: float | None = None,
        poll_freq: float | None = None,
        retries: int | None = None,
        cache_dir: str | None = None,
        machine_type: str | None = None,
        gpu_type: str | None = None,
        gpu_count: int | None = None,
        spot: bool | None = None,
        spot_fallback: bool | None = None,
        provisioning: str | None = None,
        boot_disk_gb: int | None = None,
        boot_disk_type: str | None = None,
        local_ssd_gb: int | None = None,
        zones: Sequence[str] | None = None,
        network: str | None = None,
        subnetwork: str | None = None,
        external_ip: bool | None = None,
        labels: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        volumes: Mapping[str, str] | None = None,
        container_options: str | None = None,
        registry_username: str | None = None,
        registry_password: str | None = None,
        requirements: Sequence[str] | None = None,
        priority: int | None = None,
        max_parallel: int | None = None,
        retry_exceptions: bool | None = None,
        queue_limit: float | None = None,
        service_nodes: str | None = None,
        keep_objects: bool | None = None,
        live_output: bool | None = None,
        own_modules: bool | None = None,
        trace: bool | None = None,
        trace_days: int | None = None,
        max_machine_hours: float | None = None,
        cache: bool | float | str | None = None,
        cache_version: str | None = None,
        checkpoint: bool | None = None,
        **unknown: object,
    ) -> None:
        arguments = locals()
        given = {name: arguments[name] for name in options.OPTIONS if arguments[name] is not None}
        configured = configured_options()
        refuse_unknown(unknown, configured)
        own = resolve_options(given, configured)
        super().__init__()
        allow_large_inputs()
        self.__dict__ = {**own, **{name: value for name, value in self.__dict__.items() if name not in own}}

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={text}" for name, text in self._option_texts().items())
        return f"{type(self).__name__}({given})"

    def _repr_html_(self) -> str:
        from .sweep.display.html_table import html_table

        return html_table(type(self).__name__, ("option", "value"), list(self._option_texts().items()))

    def _option_texts(self) -> dict[str, str]:
        from .settings.option_text import option_texts

        return option_texts(self.__dict__)

    async def run(
        self, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], task_metadata: dict[str, Any]
    ) -> Any:
        """Run one electron as a Batch job.

        Returns:
            A TransportableObject of its value.

        Raises:
            SettingsError: options missing or wrong.
            TaskCancelledError: the user cancelled it.
            TaskRuntimeError: under Covalent, it failed; its streams say how.
            Exception: called directly, the exception's own class where that is a builtin, else a ParallelError.
        """
        # Before the first await, so that a cancellation from here on finds it.
        node = (str(task_metadata["dispatch_id"]), int(task_metadata["node_id"]))
        if self.task_stderr is not None:
            _server_end.watch()
        cancelled = _nodes.begin(node)
        gc_freeze.begin()
        try:
            return await self._run(function, args, kwargs, node, cancelled)
        except CancelledCall as error:
            self._show(error.stdout, error.stderr)
            raise TaskCancelledError(str(error)) from None
        except ParallelError as error:
            if self.task_stderr is None:
                raise
            self.task_stderr.write(f"{error}\n")
            self._failure = error
            raise TaskRuntimeError(str(error)) from error
        finally:
            gc_freeze.end()
            _nodes.end(node, cancelled)

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run one electron as Covalent's server does; the error of one that failed takes the place of its output."""
        output, stdout, stderr, status = await super().execute(*args, **kwargs)
        if self._failure is not None and status == RESULT_STATUS.FAILED:
            output = await asyncio.to_thread(_failed_output, self._failure)
        return output, stdout, stderr, status

    async def cancel(self, task_metadata: dict[str, Any], job_handle: Any) -> bool:
        """Have a node's job cancelled, or keep the node from running.

        Returns:
            True, as Covalent needs it; False where a job that another process made may run on, which the log explains.
        """
        node = (str(task_metadata["dispatch_id"]), int(task_metadata["node_id"]))
        if _nodes.cancel(node):
            return True
        await _await_engine()
        from .covalent_api.orphaned_jobs import cancel_orphaned_jobs

        return await cancel_orphaned_jobs(node, self.__dict__)

    async def receive(self, task_group_metadata: dict[str, Any], data: Any) -> list[TaskUpdate]:
        """Covalent asks this of nodes that were cancelled before they started; nothing of them is anywhere.

        So does `covalent-parallel resume`, which has this process resume the dispatch of the nodes.
        """
        if isinstance(data, dict) and FIELD in data:
            from .covalent_api.resumption import DispatcherProcess, answer

            await answer(data[FIELD], DispatcherProcess(_nodes.since_seconds, _nodes.dispatches))
            return []
        nothing = AssetUpdate(remote_uri="", size=0)
        return [
            TaskUpdate(
                dispatch_id=task_group_metadata["dispatch_id"],
                node_id=node_id,
                status=RESULT_STATUS.CANCELLED,
                assets=dict.fromkeys(("output", "stdout", "stderr"), nothing),
            )
            for node_id in task_group_metadata["node_ids"]
        ]

    async def _run(
        self,
        function: Callable[..., Any],
        args: list[Any],
        kwargs: dict[str, Any],
        node: NodeId,
        cancelled: Cancellation,
    ) -> Any:
        # Of hundreds that come in one turn of the loop, the callers' part and this one have a turn each.
        await asyncio.sleep(0)
        await _await_engine()
        from .covalent_api.run import Returned, run_electron
        from .covalent_api.transportable import CovalentCall

        call = CovalentCall.parse(function, args, kwargs)
        result = await run_electron(call, node, self.__dict__, cancelled, is_in_server=self.task_stderr is not None)
        if not isinstance(result, Returned):
            self._fail(result)
        self._show(result.stdout, result.stderr)
        return result.value

    def _fail(self, failure: Failure) -> NoReturn:
        """Covalent's convention: streams and traceback into the electron's, and TaskRuntimeError."""
        if self.task_stderr is None:
            raise failure.error
        self._show(failure.stdout, failure.stderr)
        self._failure = failure.error
        raise TaskRuntimeError(str(failure.error)) from failure.error

    def _show(self, stdout: str, stderr: str) -> None:
        if self.task_stdout is not None:
            self.task_stdout.write(stdout)
        if self.task_stderr is not None:
            self.task_stderr.write(stderr)


def _failed_output(error: Exception) -> Any:
    from .covalent_api.failure_record import failed_output

    return failed_output(error)


async def _await_engine() -> None:
    if not _load_engine.cache_info().currsize:
        # Google's clients take a second to import: in a thread, so that the server's loop is not blocked.
        await asyncio.to_thread(_load_engine)


@cache
def _load_engine() -> None:
    """Load all that runs an electron, whole even where another thread has begun to."""
    import_module(ENGINE)


def __getattr__(name: str) -> Any:
    """What `covalent deploy` asks this module for, made when it does."""
    if name == "ExecutorPluginDefaults":
        return import_module("covalent_parallel_plugin.covalent_api.deploy_defaults").plugin_defaults()
    if name == "ExecutorInfraDefaults":
        deploy_defaults = import_module("covalent_parallel_plugin.covalent_api.deploy_defaults")
        return deploy_defaults.infra_defaults(configured_options())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
