"""GCPBatchExecutor: Covalent's contract for an executor plugin, and nothing else.

Covalent imports this module with itself, so nothing of Google's is imported here, and nothing is done.
"""

from __future__ import annotations

import sys

if "covalent" not in sys.modules:
    # Covalent imports its plugins while it is imported. Begun by this module, it would find it half made: so it begins
    # itself, imports this module whole, and that one is what the importer gets.
    del sys.modules[__name__]
    import covalent  # noqa: F401

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError
from covalent._shared_files.schemas.asset import AssetUpdate
from covalent._shared_files.util_classes import RESULT_STATUS
from covalent.executor.base import AsyncBaseExecutor
from covalent.executor.schemas import TaskUpdate

from . import resting
from . import settings as options
from .covalent_api.config_file import configured_options
from .dispatch.cancelling import Cancellation, CancelledCall
from .errors import ParallelError
from .given import refuse_unknown, require_folder, settings_of, values_of

if TYPE_CHECKING:
    from .dispatch.verdict import Failure

logger = logging.getLogger(__name__)

EXECUTOR_PLUGIN_NAME = "GCPBatchExecutor"

# None, so that a configuration file written once does not freeze a default for ever: Covalent merges these into
# `[executors.gcpbatch]`, and TOML has no None.
_EXECUTOR_PLUGIN_DEFAULTS: dict[str, object] = dict.fromkeys(options.OPTIONS)

Node = tuple[str, int]
K = TypeVar("K")
V = TypeVar("V")

# Loaded when the first electron runs
PARTS = (
    "covalent_parallel_plugin.dispatch.lifecycle",
    "covalent_parallel_plugin.dispatch.mapping",
    "covalent_parallel_plugin.transport",
    "covalent_parallel_plugin.cloud",
    "covalent_parallel_plugin.dispatch.verdict",
    "covalent_parallel_plugin.nodes.service",
    "covalent_parallel_plugin.nodes.recognise",
    "covalent_parallel_plugin.dispatch.turns",
    "covalent_parallel_plugin.cloud.pool",
)
# Inputs up to this length are decoded faster than a thread is found for them
SMALL_CHARACTERS = 64 * 1024

# What runs in this process, by node: Covalent cancels through another instance of the executor than the one that runs
_running: dict[Node, list[Cancellation]] = {}
# Nodes cancelled before they ran, and nodes that have run, which Covalent cancels too; the latest of each
_cancelled_early: OrderedDict[Node, None] = OrderedDict()
_ended: OrderedDict[Node, None] = OrderedDict()
# Lattices' names by dispatch
_lattices: OrderedDict[str, str] = OrderedDict()
MOST_REMEMBERED = 100_000


class GCPBatchExecutor(AsyncBaseExecutor):
    """Runs electrons as Google Batch jobs.

    An option that is not given is taken from `[executors.gcpbatch]` in Covalent's configuration file, else it has its
    default. `docs/options.md` has the table of units, defaults and rules, which come from `settings.OPTIONS`.

    Raises:
        SettingsError: values given here that are wrong, all of them in one message. Missing ones, and those in the
            configuration file, are checked when an electron runs.
        TypeError: a keyword that is no option.
    """

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
        **unknown: object,
    ) -> None:
        arguments = locals()
        given = {name: arguments[name] for name in options.OPTIONS if arguments[name] is not None}
        configured = configured_options()
        refuse_unknown(unknown, configured)
        own = values_of(given, configured)
        super().__init__()
        self.__dict__ = {**own, **{name: value for name, value in self.__dict__.items() if name not in own}}

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
        cancelled = Cancellation()
        _running.setdefault(node, []).append(cancelled)
        resting.begin()
        if node in _cancelled_early:
            del _cancelled_early[node]
            cancelled.set()
        try:
            return await self._run(function, args, kwargs, node, cancelled)
        except ParallelError as error:
            if self.task_stderr is None:
                raise
            self.task_stderr.write(f"{error}\n")
            raise TaskRuntimeError(str(error)) from error
        finally:
            resting.end()
            _running[node].remove(cancelled)
            if not _running[node]:
                del _running[node]
                _remember(_ended, node, None)

    async def cancel(self, task_metadata: dict[str, Any], job_handle: Any) -> bool:
        """Have a node's job cancelled, or keep the node from running; True in any case, as Covalent needs it."""
        node = (str(task_metadata["dispatch_id"]), int(task_metadata["node_id"]))
        if node in _running:
            for event in _running[node]:
                event.set()
        elif node not in _ended:
            _remember(_cancelled_early, node, None)
        return True

    async def receive(self, task_group_metadata: dict[str, Any], data: Any) -> list[TaskUpdate]:
        """Covalent asks this of nodes that were cancelled before they started; nothing of them is anywhere."""
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
        node: Node,
        cancelled: Cancellation,
    ) -> Any:
        # Of hundreds that come in one turn of the loop, the callers' part and this one have a turn each.
        await asyncio.sleep(0)
        if not _parts.cache_info().currsize:
            # Google's clients take a second to import: in a thread, so that the server's loop goes on.
            await asyncio.to_thread(_parts)
        lifecycle, mapping, transport, cloud, verdicts, service, recognise, turns, pool = _parts()

        whose, turn = f"node {node[1]} of dispatch {node[0]}", turns.Turn()
        try:
            if not recognise.is_named_like_one(transport.name_of(function)):
                # Covalent's own nodes need nothing that those wait for which are staged for Batch.
                turn = await turns.turn(cancelled)
            settings = settings_of(self.__dict__)
            require_folder(settings.cache_dir)
            services = cloud.shared_services(settings.project_id, settings.bucket_name)
            lattice = await self._lattice_name(node[0])
            if transport.size_of(function, args, kwargs) <= SMALL_CHARACTERS:
                call, pickles = transport.read_call(function, args, kwargs, *node, lattice)
            else:
                call, pickles = await pool.in_pool(transport.read_call, function, args, kwargs, *node, lattice)
            whose = str(call)

            def staged() -> None:
                turn.end()
                if self.task_stderr is not None:
                    transport.blank_inputs(function, args, kwargs)

            ended = None
            if settings.service_nodes == "local":
                ended = await service.run_here(call, pickles, args, cancelled, settings.cache_dir)
            if ended is None:
                kind = lifecycle.Lifecycle if call.map is None else mapping.MapLifecycle
                way = kind(call, settings, services, cancelled, lambda: self._source_text(node))
                ended = await way.run(pickles, staged)
            else:
                staged()
        except CancelledCall:
            raise TaskCancelledError(f"{whose} was cancelled") from None
        finally:
            turn.end()
        if isinstance(ended, verdicts.Failure):
            self._fail(ended)
        self._show(ended.outcome.stdout, ended.outcome.stderr)
        return transport.RemoteValue(ended.outcome)

    async def _lattice_name(self, dispatch_id: str) -> str:
        """The lattice's name as Covalent's server keeps it, asked once for a dispatch; "" outside the server."""
        if self.task_stderr is None:
            return ""
        if dispatch_id not in _lattices:
            name = ""
            try:
                from covalent_dispatcher._core.data_modules import lattice

                name = str((await lattice.get(dispatch_id, ["name"]))["name"] or "")
            except Exception as error:
                # This is the server's inside, and only makes a cost report nicer.
                logger.debug("no lattice's name for dispatch %s: %s", dispatch_id, error)
            # Electrons that start together ask together: none of them is told less than the first.
            _remember(_lattices, dispatch_id, name)
        return _lattices[dispatch_id]

    async def _source_text(self, node: Node) -> str:
        """The electron's source as Covalent's server keeps it; "" outside the server, where nobody does."""
        if self.task_stderr is None:
            return ""
        try:
            from covalent_dispatcher._core.data_manager import electron

            return str((await electron.get(*node, ["function_string"]))["function_string"] or "")
        except Exception as error:
            # This is the server's inside, and only makes a traceback nicer.
            logger.debug("no source text of node %s: %s", node, error)
            return ""

    def _fail(self, failure: Failure) -> None:
        """Covalent's convention: streams and traceback into the electron's, and TaskRuntimeError."""
        if self.task_stderr is None:
            raise failure.error
        self._show(failure.stdout, failure.stderr)
        raise TaskRuntimeError(str(failure.error)) from failure.error

    def _show(self, stdout: str, stderr: str) -> None:
        if self.task_stdout is not None:
            self.task_stdout.write(stdout)
        if self.task_stderr is not None:
            self.task_stderr.write(stderr)


@cache
def _parts() -> tuple[Any, ...]:
    """The modules of `PARTS`, whole even where another thread has begun to load them."""
    return tuple(import_module(name) for name in PARTS)


def _remember(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > MOST_REMEMBERED:
        known.popitem(last=False)


def __getattr__(name: str) -> Any:
    """What `covalent deploy` asks this module for, made when it does."""
    if name == "ExecutorPluginDefaults":
        return import_module("covalent_parallel_plugin.covalent_api.deploy_defaults").plugin_defaults()
    if name == "ExecutorInfraDefaults":
        deploy_defaults = import_module("covalent_parallel_plugin.covalent_api.deploy_defaults")
        return deploy_defaults.infra_defaults(configured_options())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
