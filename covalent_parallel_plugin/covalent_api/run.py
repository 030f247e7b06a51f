"""One electron from Covalent's call to its value: the one entry to all that runs it, beside the server or on Batch.

It imports Google's clients, which takes a second: load it in a thread.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..batch.cancellation import Cancellation, CancelledCall
from ..batch.deferred_deletion import DELETION
from ..batch.job_verdict import join_text
from ..batch.trace_recorder import TraceRecorder
from ..cloud import Services, shared_services
from ..cloud.threads import run_in_thread
from ..electron.admission import Slot, acquire_slot
from ..electron.cache.cached_job import CachedJob
from ..electron.cache.cached_run import CachedRun
from ..electron.cache.entry import CacheEntry
from ..electron.cache.facts import structure_facts
from ..electron.cache_folder import require_folder
from ..electron.call import Call, Pickles, earlier_identities, new_identity, refuse_too_large, with_sha256
from ..electron.earlier_calls import NO_EARLIER_CALLS, EarlierCalls, find_earlier
from ..electron.electron_run import ElectronRun
from ..electron.map.map_run import MapRun
from ..electron.map.stored_map import StoredMap, continued
from ..electron.modules.import_paths import ImportPaths
from ..electron.modules.missing_packages import missing_packages, unbrought_names, warning_text
from ..electron.modules.own_modules import archive_of, needed_modules
from ..electron.server_secret import ServerSecret
from ..electron.structure.call_structure import call_structure
from ..electron.traceback_source import SourceText
from ..electron.verdict import Failure, Value, Verdict
from ..protocol.envelope import FilePart
from ..protocol.identity import CallIdentity
from ..settings import Settings
from ..settings.resolve_options import settings_from
from . import lineage, server_data
from .builtin_nodes.classify import may_be_builtin_node
from .builtin_nodes.run_node import run_node
from .map_rerun import read_rerun
from .orphaned_jobs import cancel_orphaned_jobs
from .running_nodes import NodeId, remember
from .secret_file import known_secret, secret_path, server_secret
from .transportable import CovalentCall, RawTransportable, out_of_memory

logger = logging.getLogger(__name__)

# Inputs up to this length are decoded faster than a thread is found for them
SMALL_CHARACTERS = 64 * 1024

# What distinguishes the calls of this process from each other and from those of others
PROCESS = os.urandom(8).hex()
_calls = itertools.count()

# When a dispatch was first seen here, in seconds since the epoch: source files that were changed later are not its own
_first_seen: OrderedDict[str, float] = OrderedDict()
# Which modules nothing brings has been said, by dispatch
_warned: OrderedDict[tuple[str, frozenset[str]], None] = OrderedDict()


@dataclass(frozen=True)
class Returned:
    """The electron's value as Covalent takes it, and what the electron printed."""

    value: RawTransportable
    stdout: str
    stderr: str


async def run_electron(
    covalent_call: CovalentCall,
    node: NodeId,
    options: Mapping[str, object],
    cancelled: Cancellation,
    is_in_server: bool,
) -> Returned | Failure:
    """Run an electron.

    Args:
        covalent_call: the electron, its arguments and its hooks.
        options: the executor's, from which the settings are made.
        cancelled: set when the user asks for the end.
        is_in_server: whether this is Covalent's server, which knows more, and whose copies of the inputs are dropped.

    Raises:
        SettingsError: options missing or wrong.
        SecretFileError: the file with the server's secret cannot be used.
        CancelledCall: `cancelled` was set; its text says which electron it was.
        CacheDirError: this machine has no memory for the inputs.
        CloudError: Google refused something, or could not be reached.
        asyncio.CancelledError: the server stops; the job is cancelled first.
    """
    trace = TraceRecorder.of(*node, options)
    try:
        result = await _run_electron(covalent_call, node, options, cancelled, is_in_server, trace)
    except asyncio.CancelledError:
        if trace.has_begun:
            trace.note_stopped()
        raise
    except BaseException as error:
        # Of Covalent's own nodes nothing is recorded that has nothing to do with Batch.
        if trace.has_begun or not may_be_builtin_node(covalent_call.name):
            await trace.end_raised(error, cancelled.keeps_results)
        raise
    if trace.has_begun:
        await trace.end(result.error if isinstance(result, Failure) else None)
    return result


async def _run_electron(
    covalent_call: CovalentCall,
    node: NodeId,
    options: Mapping[str, object],
    cancelled: Cancellation,
    is_in_server: bool,
    trace: TraceRecorder,
) -> Returned | Failure:
    """Run an electron; see `run_electron`, `trace` notes how it ends."""
    if node[0] not in _first_seen:
        remember(_first_seen, node[0], time.time())
    title, slot = f"node {node[1]} of dispatch {node[0]}", Slot()
    try:
        if not may_be_builtin_node(covalent_call.name):
            # Covalent's own nodes need nothing that those wait for which are staged for Batch.
            slot = await acquire_slot(cancelled)
        settings = settings_from(options)
        await require_folder(settings.cache_dir)
        services = shared_services(settings.project_id, settings.bucket_name)
        lattice = await server_data.lattice_name(node[0]) if is_in_server else ""
        is_small = covalent_call.size <= SMALL_CHARACTERS
        if is_small:
            call, pickles = covalent_call.read(*node, lattice)
        else:
            call, pickles = await run_in_thread(covalent_call.read, *node, lattice)
        title = str(call)

        def on_staged() -> None:
            slot.end()
            if is_in_server:
                covalent_call.blank()

        result: Verdict | None = None
        runs: Sequence[StoredMap] = ()
        if call.map is not None and call.map.rerun is not None:
            rerun = await run_in_thread(
                read_rerun, call, pickles, services.objects, await _secret(), settings.cache_dir
            )
            call, pickles, runs, is_small = rerun.call, rerun.pickles, rerun.runs, False
            result = Value(rerun.value) if rerun.value is not None else None
        elif settings.service_nodes == "local":
            result = await run_node(call, pickles, covalent_call.args, cancelled, settings.cache_dir)
        if result is None:
            trace.begin(call.name)
            refuse_too_large(call, pickles, settings.memory)
            call = with_sha256(call, pickles) if is_small else await run_in_thread(with_sha256, call, pickles)
            call = await _with_own_modules(call, pickles, covalent_call.import_paths, settings, is_in_server)
            identity = await _identity_of(call, settings, is_in_server)
            source = node if is_in_server else None
            is_cached = settings.cache is not False and not runs and not may_be_builtin_node(call.name)
            earlier = NO_EARLIER_CALLS
            if is_in_server and (ancestors := await lineage.ancestors(node[0])):
                call = replace(call, lineage=(node[0], *ancestors))
                if call.map is not None or not is_cached:
                    # Equal lone electrons share a job, whose id follows from the cache's key.
                    identities = earlier_identities(call, settings.requirements, await _secret())
                    earlier = await cancelled.unless(find_earlier(call, identities, settings.parent, services))
            # What an earlier dispatch has of a map is gone on with, and not left there for a value in the cache.
            if is_cached and earlier.taken is None and not earlier.left:

                def make_run(job: CachedJob | None, ends: Cancellation) -> ElectronRun | MapRun:
                    return _run_of(call, identity, settings, services, ends, source, trace, runs, earlier, job)

                entry = await _entry_of(call, pickles, settings)
                cached = CachedRun(entry, call, settings, services, trace, make_run)
                result = await cached.run(pickles, cancelled, on_staged)
            else:
                run = _run_of(call, identity, settings, services, cancelled, source, trace, runs, earlier)
                result = await run.run(pickles, on_staged)
        else:
            on_staged()
    except CancelledCall as error:
        if is_in_server and not cancelled.keeps_results and await lineage.ancestors(node[0]):
            # It may have ended before it took up an earlier dispatch's job, which runs on.
            await cancel_orphaned_jobs(node, options)
        text = f"{title} was cancelled"
        raise CancelledCall(text, error.stdout, join_text(error.stderr, f"{text}\n")) from None
    except MemoryError as error:
        raise out_of_memory(f"{title}, with inputs of {covalent_call.size / 2**20:.0f} MB in base64,") from error
    finally:
        slot.end()
    if isinstance(result, Failure):
        return result
    outcome = result.outcome
    return Returned(RawTransportable(outcome), outcome.stdout, outcome.stderr)


async def _with_own_modules(
    call: Call, pickles: Pickles, paths: ImportPaths, settings: Settings, is_in_server: bool
) -> Call:
    """Return the call with the archive of what it imports of the user's own.

    Raises:
        SettingsError: what cannot travel, all of it.
    """

    size = sum(part.size if isinstance(part, FilePart) else len(part) for part in pickles.values())
    if size <= SMALL_CHARACTERS:
        needed = needed_modules(call, pickles, paths)
    else:
        needed = await run_in_thread(needed_modules, call, pickles, paths)
    names = unbrought_names(call, needed, settings)
    if names and (call.dispatch_id, names) not in _warned:
        remember(_warned, (call.dispatch_id, names), None)
        missing = await run_in_thread(missing_packages, call, needed, settings)
        if missing:
            logger.warning("%s: %s", call, warning_text(missing))
    if not needed.own or not settings.own_modules:
        return call
    archive = await run_in_thread(archive_of, call, needed, call.dispatch_id if is_in_server else "")
    return replace(call, modules=archive, import_paths=needed.paths.to_json() if call.whole_string else None)


async def _identity_of(call: Call, settings: Settings, is_in_server: bool) -> CallIdentity:
    secret = await _secret()
    # Without a server the same dispatch and node may come again, and are not to find what they left before.
    # Not drawn each time: a draw gives the interpreter to the threads.
    nonce = "" if is_in_server else f"{PROCESS} {os.getpid()} {next(_calls)}"
    return new_identity(call, settings.requirements, secret, nonce)


async def _entry_of(call: Call, pickles: Pickles, settings: Settings) -> CacheEntry:
    facts = structure_facts(call, settings)
    return CacheEntry(await _secret(), await run_in_thread(call_structure, call, pickles, facts))


async def _secret() -> ServerSecret:
    path = secret_path()
    secret = known_secret(path)
    return await run_in_thread(server_secret, path) if secret is None else secret


def _run_of(
    call: Call,
    identity: CallIdentity,
    settings: Settings,
    services: Services,
    cancelled: Cancellation,
    node: NodeId | None,
    trace: TraceRecorder,
    runs: Sequence[StoredMap],
    earlier: EarlierCalls,
    cached: CachedJob | None = None,
) -> ElectronRun | MapRun:
    seen_at = _first_seen.get(call.dispatch_id, time.time())
    if earlier.taken is not None:
        call, identity = earlier.taken.call, earlier.taken.identity
        if earlier.job is not None and earlier.job.status is not None:
            seen_at = min(seen_at, earlier.job.status.created_seconds)
    deletion = DELETION if node is not None else None

    async def source() -> SourceText:
        return SourceText(await server_data.source_text(node) if node is not None else "", seen_at)

    if call.map is None:
        own, oldest = (identity, earlier.oldest) if cached is None else (cached.identity, cached.checkpoint)
        return ElectronRun(call, own, settings, services, cancelled, source, trace, earlier, deletion, oldest, cached)
    call, runs = continued(call, earlier.left, services.objects, runs)
    return MapRun(call, identity, settings, services, cancelled, source, trace, runs, node is None, earlier, deletion)
