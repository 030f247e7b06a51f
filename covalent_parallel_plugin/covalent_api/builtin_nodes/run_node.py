"""One node's way on the dispatcher: recognised, then put together or run by a worker; or left to Batch."""

from __future__ import annotations

import asyncio
import logging
import mmap
import pickle
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import cloudpickle

from ...batch.cancellation import Cancellation, CancelledCall
from ...batch.job_verdict import join_text
from ...cloud.threads import run_in_thread
from ...electron.call import Call, Pickles
from ...electron.outcome import Outcome, decode_output, raised_of, storable_text
from ...electron.value_buffer import join_to_buffer
from ...electron.verdict import Failure, Value, Verdict, exception_of
from ...protocol import pickle_list
from ...protocol.envelope import VALUE, python_minor
from ...protocol.value_text import SHOWN_CHARACTERS, cut_text
from . import pickle_collections, postprocess, worker_main
from .classify import NodeKind, kind_of
from .worker_pool import WorkerPool
from .worker_process import NodeRequest, WorkerFailed

logger = logging.getLogger(__name__)

# Inputs up to this size are put together faster than a thread is found for them; each one costs like so many bytes
SMALL_BYTES = 64 * 1024
ENTRY_BYTES = 256
# Loading more than this would take more of the server's memory than a small node should
LARGEST_LOADED_BYTES = 256 * 1024 * 1024

WORKERS = WorkerPool()

Entries = Sequence[pickle_collections.PickleEntry]


async def run_node(
    call: Call,
    pickles: Pickles,
    arguments: Sequence[object],
    cancelled: Cancellation,
    folder: str,
    workers: WorkerPool = WORKERS,
) -> Verdict | None:
    """How one of Covalent's own nodes ended, run beside the server; None for all that is to run on Batch.

    Args:
        arguments: the positional ones as Covalent gave them, for the texts that it shows for them.
        cancelled: set when the user asks for the node's end.
        folder: for values of more than a few megabytes, until nobody needs them.

    Raises:
        CancelledCall: `cancelled` was set.
        asyncio.CancelledError: the server stops; the node's process has ended.
    """
    kind = kind_of(call.name, cast(bytes, pickles["function"]))
    own_python = platform.python_version()
    if kind is None or python_minor(call.python) != python_minor(own_python):
        return None
    if call.before or call.after:
        # They were meant for the electron's machine: in a process here they would install into the server's packages.
        return None
    if cancelled.is_set():
        raise CancelledCall
    if postprocess.is_result(call, pickles):
        return Value(await run_in_thread(_taken, cast(bytes, pickles["arg0"]), arguments[0], folder))
    pickles = postprocess.without_lattice(call, pickles)
    size = sum(map(len, _values(pickles)))
    if kind is not NodeKind.NEEDS_UNPICKLING:
        put_together = partial(_put_together, kind, call, pickles, arguments, folder)
        make = partial(_take_item, call, pickles, folder) if kind is NodeKind.ITEM else put_together
        is_small = size + ENTRY_BYTES * len(pickles) <= SMALL_BYTES
        outcome = make() if is_small else await run_in_thread(make)
        if outcome is not None:
            return Value(outcome)
    if sum(map(len, _values(pickles))) > LARGEST_LOADED_BYTES:
        return None
    request = NodeRequest({"args": call.args, "kwargs": list(call.kwargs)}, cast(Mapping[str, bytes], pickles))
    asked = asyncio.ensure_future(workers.ask(request))
    try:
        return _verdict(*await cancelled.unless(asked))
    except WorkerFailed as error:
        logger.info("%s goes to Batch: %s", call, error)
        return None
    finally:
        # Where it was cancelled, until its process has ended
        await asyncio.wait([asked])


def _put_together(
    kind: NodeKind, call: Call, pickles: Pickles, arguments: Sequence[object], folder: str
) -> Outcome | None:
    """The value of a list or dict node, with nothing in it loaded; None where that would not be Covalent's value."""
    if call.kwargs:
        return None
    given = [cast(bytes, pickles[f"arg{index}"]) for index in range(call.args)]
    texts = [str(getattr(argument, "object_string", "...")) for argument in arguments]
    if kind is NodeKind.LIST:
        entries = [pickle_collections.entry_of(pickle) for pickle in given]
        chunks, text = pickle_collections.pickle_of_list(entries), _list_text(entries, texts)
    else:
        both = _keys_and_values(given)
        if both is None:
            return None
        chunks, text = pickle_collections.pickle_of_dict(*both), _dict_text(*both, texts)
    # Where it goes through a file nothing of it is held twice.
    data = join_to_buffer(cast(Iterable[bytes], chunks), sum(map(len, given)), folder)
    return _value(data, text, cloudpickle.__version__)


def _take_item(call: Call, pickles: Pickles, folder: str) -> Outcome | None:
    """The value of an item or a slice of a map's list, with nothing in it loaded; None where the node has to run.

    Where the index is out of range, the node is given a list of as many Nones, and raises its exception of that.
    """
    if call.args != 2 or call.kwargs:
        return None
    items = pickle_list.pickles_in(cast(bytes, pickles["arg0"]))
    key = pickle_collections.index_in(cast(bytes, pickles["arg1"]))
    if items is None or key is None:
        return None
    try:
        taken = items[key]
    except (IndexError, ValueError):
        pickles["arg0"] = pickle.dumps([None] * len(items))
        return None
    chunks: Iterable[bytes | memoryview]
    if isinstance(taken, list):
        chunks = pickle_list.pickle_of_list((len(each), (each,)) for each in taken)
        text = f"[{', '.join(map(pickle_collections.text_in, taken[:SHOWN_CHARACTERS]))}]"
        size = sum(map(len, taken))
    else:
        chunks, text, size = (taken,), pickle_collections.text_in(taken), len(taken)
    return _value(join_to_buffer(chunks, size, folder), cut_text(text), cloudpickle.__version__)


def _taken(data: bytes, argument: object, folder: str) -> Outcome:
    """A value that is an argument as it came, with the text that Covalent shows for that."""
    text, name = str(getattr(argument, "object_string", "...")), str(getattr(argument, "attrs", {}).get("name") or "")
    return _value(join_to_buffer((data,), len(data), folder), cut_text(text), cloudpickle.__version__, name=name)


def _keys_and_values(given: Sequence[bytes]) -> tuple[Entries, Entries] | None:
    """Of a dict node, whose arguments are two lists: put together here, with keys that any dict takes; else None."""
    if len(given) != 2 or not all(map(pickle_collections.is_list, given)):
        return None
    keys, values = map(pickle_collections.entries_in, given)
    if keys is None or values is None or len(keys) != len(values) or not all(key.is_plain for key in keys):
        return None
    return keys, values


def _list_text(entries: Entries, texts: Iterable[str]) -> str:
    shown: list[str] = []
    length = 0
    for entry, text in zip(entries, texts, strict=True):
        shown.append(pickle_collections.plain_text(entry) if entry.is_plain else text)
        length += len(shown[-1])
        if length > SHOWN_CHARACTERS:
            break
    return cut_text(f"[{', '.join(shown)}]")


def _dict_text(keys: Entries, values: Entries, texts: Sequence[str]) -> str:
    if not all(value.is_plain for value in values):
        # Only the list of the values has a text.
        return cut_text(f"dict(zip({texts[0]}, {texts[1]}))")
    pairs = zip(keys, values, strict=True)
    texts = [f"{pickle_collections.plain_text(key)}: {pickle_collections.plain_text(value)}" for key, value in pairs]
    return cut_text(f"{{{', '.join(texts)}}}")


def _value(
    data: bytes | mmap.mmap, text: str, version: str, stdout: str = "", stderr: str = "", name: str = ""
) -> Outcome:
    python, shown = platform.python_version(), storable_text(text)
    return Outcome(VALUE, stdout, stderr, pickle=data, shown=shown, name=name, python=python, cloudpickle=version)


def _verdict(header: Mapping[str, Any], parts: Mapping[str, bytes]) -> Verdict:
    """A worker's answer, of which nothing is trusted: what was loaded there ran there.

    Raises:
        WorkerFailed: the node is not to end so.
    """
    try:
        streams = {name: decode_output(parts[name]) for name in ("stdout", "stderr")}
        if header["kind"] == worker_main.VALUE:
            version, name = storable_text(header["cloudpickle"]), storable_text(header["name"])
            return Value(_value(parts["value"], decode_output(parts["shown"]), version, name=name, **streams))
        if header["kind"] == worker_main.RAISED:
            raised = raised_of(header["exception"])
            told = join_text(streams["stderr"], raised.traceback)
            return Failure(exception_of(raised), streams["stdout"], told)
        reason = str(header["reason"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WorkerFailed(f"its process told {type(error).__name__}: {error!s:.300}") from error
    raise WorkerFailed(reason)


def _values(pickles: Pickles) -> Iterable[bytes]:
    return cast(Iterable[bytes], pickles.values())
