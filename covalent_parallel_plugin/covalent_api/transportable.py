"""Covalent's TransportableObjects as raw pickles and back, without loading what they hold."""

from __future__ import annotations

import binascii
import io
import json
import mmap
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import metadata
from typing import Any

import cloudpickle
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn

from ..electron.call import Call, Map, Pickles
from ..electron.modules.import_paths import ImportPaths, own_import_paths
from ..electron.outcome import Outcome
from ..errors import CacheDirError
from ..protocol.map_marker import MAPPED_ITEMS, earlier_map, item_count, read_marker
from .carried_paths import carried_paths

# Covalent reads the graph of a sublattice from the value's string
SUBLATTICE_BUILDER = "_build_sublattice_graph"
# Base64 turns 3 bytes into 4; pieces of a multiple of 3 can be encoded one by one
PIECE_BYTES = 3 * 512 * 1024
PIECE_CHARACTERS = PIECE_BYTES // 3 * 4


class CovalentCall:
    """What Covalent's server hands to `run()`, taken apart once: `partial(wrapper_fn, function, before, after)`.

    A plain function with plain arguments, as a direct caller of `run()` may pass, is pickled when it is read.
    """

    def __init__(
        self, electron: Any, hooks: tuple[Sequence[Any], Sequence[Any]], args: Sequence[Any], kwargs: Mapping[str, Any]
    ):
        self.args = args
        self._electron = electron
        self._before, self._after = hooks
        self._kwargs = kwargs

    @classmethod
    def parse(cls, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> CovalentCall:
        """Take the arguments of `run()` apart; nothing is copied or loaded."""
        if _is_wrapped(function):
            electron, before, after = function.args  # type: ignore[attr-defined]  # a partial
            return cls(electron, (before, after), args, kwargs)
        return cls(function, ((), ()), args, kwargs)

    @property
    def _is_wrapped(self) -> bool:
        return isinstance(self._electron, TransportableObject)

    @property
    def name(self) -> str:
        """The electron's name as Covalent gives it; "" of a plain function."""
        return str(self._electron.attrs.get("name") or "") if self._is_wrapped else ""

    @property
    def size(self) -> float:
        """The length of the inputs in base64, hooks apart; infinite where something has yet to be pickled."""
        values = (self._electron, *self.args, *self._kwargs.values())
        if not all(isinstance(value, TransportableObject) for value in values):
            return float("inf")
        return sum(
            len(value.pickle if isinstance(value, RawTransportable) else value.get_serialized()) for value in values
        )

    @property
    def import_paths(self) -> ImportPaths:
        """Where the dispatching process imports its own modules from."""
        return carried_paths(self._electron.header) if self._is_wrapped else own_import_paths()

    def read(self, dispatch_id: str, node_id: int, lattice: str = "") -> tuple[Call, Pickles]:
        """Return the call and its pickles; nothing that they hold is loaded."""
        electron = self._electron
        if self._is_wrapped:
            python, name = electron.python_version, self.name or "electron"
            pickler = str(electron.header.get("cloudpickle_version") or "")
        else:
            python, name = platform.python_version(), getattr(electron, "__name__", "electron")
            pickler = cloudpickle.__version__
        pickles: Pickles = {"function": raw_pickle(electron)}
        pickles.update({f"arg{index}": raw_pickle(value) for index, value in enumerate(self.args)})
        pickles.update({f"kwarg:{key}": raw_pickle(value) for key, value in self._kwargs.items()})
        call = Call(
            dispatch_id=dispatch_id,
            node_id=node_id,
            name=name,
            python=python,
            covalent=_covalent_version(),
            args=len(self.args),
            kwargs=tuple(self._kwargs),
            before=_hooks("before", self._before, pickles),
            after=_hooks("after", self._after, pickles),
            whole_string=name == SUBLATTICE_BUILDER,
            lattice=lattice,
            map=_map(electron, self.args, self._kwargs),
            cloudpickle=pickler,
        )
        return call, pickles

    def blank(self) -> None:
        """Drop the copies of the inputs that the server holds for a task, once the bucket has them."""
        electron = self._electron if self._is_wrapped else None
        for value in (electron, *self.args, *self._kwargs.values()):
            if isinstance(value, TransportableObject):
                value._object = ""
                value._object_string = ""


def out_of_memory(what: str) -> CacheDirError:
    """Return the error for something that the memory of this machine does not hold."""
    return CacheDirError(
        f"{what} does not fit into the memory of the machine that Covalent's server is on: give it more, or pass the"
        " name of a file in a bucket (volumes) in its place"
    )


def raw_pickle(value: Any) -> bytes:
    """The pickle inside a TransportableObject, or the pickle of anything else."""
    if isinstance(value, RawTransportable):
        return bytes(value.pickle)
    if isinstance(value, TransportableObject):
        return _decoded(value.get_serialized())
    return bytes(cloudpickle.dumps(value))


def _decoded(text: str) -> bytes:
    """Base64 in pieces: one call for it all would keep the interpreter, and with it the server's loop, for long."""
    if len(text) <= PIECE_CHARACTERS or len(text) % 4 or "\n" in text:
        return binascii.a2b_base64(text)
    data = io.BytesIO()
    for offset in range(0, len(text), PIECE_CHARACTERS):
        data.write(binascii.a2b_base64(text[offset : offset + PIECE_CHARACTERS]))
    return data.getvalue()


def _unload(pickle: memoryview) -> None:
    """Let go of the memory that holds what was read of a mapped file; it is read again where it is needed again."""
    if isinstance(pickle.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        pickle.obj.madvise(mmap.MADV_DONTNEED)


class RawTransportable(TransportableObject):
    """A value from a container: its raw pickle, turned into Covalent's archive form only when that is asked for.

    Everything that Covalent reads of a TransportableObject is here; the base64 text, which is a third larger than the
    pickle, is made piece by piece and not kept.
    """

    def __init__(self, outcome: Outcome):
        # Bytes, or a view of a file where it is large
        self.pickle = outcome.pickle
        self._object_string = outcome.shown
        self._header = {
            "py_version": outcome.python,
            "cloudpickle_version": outcome.cloudpickle,
            "attrs": {"doc": "", "name": outcome.name},
        }

    @property
    def _object(self) -> str:  # type: ignore[override]  # an attribute there, made on demand here
        return self.get_serialized()

    def get_serialized(self) -> str:
        return binascii.b2a_base64(self.pickle, newline=False).decode("ascii")

    def get_deserialized(self) -> Any:
        """The value itself; unlike everything else here this loads the pickle, in the caller's process."""
        return cloudpickle.loads(self.pickle)

    def serialize(self) -> bytes:
        """Covalent's archive: offsets of string and data (8 bytes each, big-endian), header, string, base64 data.

        Raises:
            CacheDirError: this machine has no memory for it.
        """
        try:
            return self._archive()
        except MemoryError as error:
            raise out_of_memory(f"a value of {len(self.pickle) / 2**20:.0f} MB, in Covalent's form") from error

    def _archive(self) -> bytes:
        header = json.dumps(self._header).encode()
        string = self._object_string.encode()
        start = 16 + len(header)
        archive = io.BytesIO()
        archive.write(start.to_bytes(8, "big") + (start + len(string)).to_bytes(8, "big"))
        archive.write(header)
        archive.write(string)
        pickle = memoryview(self.pickle)
        for offset in range(0, len(pickle), PIECE_BYTES):
            archive.write(binascii.b2a_base64(pickle[offset : offset + PIECE_BYTES], newline=False))
            _unload(pickle)
        return archive.getvalue()

    def to_dict(self) -> dict[str, Any]:
        attributes = {"_object": self._object, "_object_string": self._object_string, "_header": self._header}
        return {"type": "TransportableObject", "attributes": attributes}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TransportableObject) and bool(self.to_dict() == other.to_dict())

    __hash__ = None  # type: ignore[assignment]  # as in Covalent's own class

    def __reduce__(self) -> tuple[Any, ...]:
        # Away from this process it is an ordinary TransportableObject, for which this package need not be there.
        return TransportableObject.from_dict, (self.to_dict(),)


def _map(electron: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Map | None:
    """How to map, as the header of an electron made by `pmap` says; None for any other one. Nothing is loaded."""
    described = read_marker(
        electron.attrs.get("doc") if isinstance(electron, TransportableObject) else electron.__doc__
    )
    if described is None:
        return None
    items = args[0] if args else kwargs.get(MAPPED_ITEMS)
    name = items.attrs.get("name") if isinstance(items, TransportableObject) else getattr(items, "__name__", "")
    return Map(item_count(name), bool(described.get("return_exceptions")), earlier_map(name))


@cache
def _covalent_version() -> str:
    return metadata.version("covalent")


def _is_wrapped(function: object) -> bool:
    return (
        isinstance(function, partial)
        and function.func is wrapper_fn
        and len(function.args) == 3
        and isinstance(function.args[0], TransportableObject)
    )


def _hooks(when: str, hooks: Sequence[Any], pickles: Pickles) -> tuple[tuple[str, str], ...]:
    described = []
    for index, (function, args, kwargs, keyword) in enumerate(hooks):
        pickles[f"{when}{index}.function"] = raw_pickle(function)
        pickles[f"{when}{index}.args"] = raw_pickle(args)
        pickles[f"{when}{index}.kwargs"] = raw_pickle(kwargs)
        described.append((str(function.attrs.get("name", "")), str(keyword or "")))
    return tuple(described)
