"""A lattice in a user's file as the nodes that Covalent would dispatch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from covalent._shared_files.defaults import parameter_prefix, postprocess_prefix, sublattice_prefix
from covalent._workflow.electron import Electron
from covalent._workflow.lattice import Lattice
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor import _executor_manager

from ...covalent_api.carried_paths import carried_paths
from ...covalent_api.transportable import raw_pickle
from ...electron.call import Call, Map, with_sha256
from ...electron.modules.own_modules import NeededModules, needed_modules
from ...protocol.map_marker import item_count, read_marker
from ...settings import nearest
from ..option_assignments import RequestError
from .user_script import guarded

ELECTRON = "electron"
SUBLATTICE = "sublattice"
# Nodes that Covalent adds by itself: what they do, by what their names look like (covalent._workflow.electron)
OWN_NODES = (
    (re.compile(rf"{postprocess_prefix}.*"), "result"),
    (re.compile(r":electron_list:.*"), "list"),
    (re.compile(r":electron_dict:.*"), "dict"),
    (re.compile(r":.*\.__getattr__"), "attribute"),
    (re.compile(r":.*"), "item"),
    (re.compile(r".*_(\+|-|\*|/|\*\*)_.*"), "arithmetic"),
)

# Of the nodes of one title, so many are listed
MOST_LISTED = 8


@dataclass(frozen=True)
class LatticeNode:
    """One node of a lattice's graph that is run.

    Attributes:
        node_id: Covalent's number.
        name: the function's, or what Covalent calls it.
        kind: ELECTRON, SUBLATTICE or, for one that Covalent added by itself, what it does.
        python: the version that pickled it, such as "3.11.7".
        executor: the executor's short name.
        options: what the executor's instance carries; None for an executor given by its name, which takes what is
            configured.
        has_hooks: whether anything is to run before or after it.
        map: how it maps, for an electron made by `pmap`.
        lattice: of a sublattice, its name in the user's file; "" where it is not at the top of it.
        needs: the modules that it imports; None where nothing is known.
    """

    node_id: int
    name: str
    kind: str
    python: str
    executor: str
    options: Mapping[str, object] | None
    has_hooks: bool = False
    map: Map | None = None
    lattice: str = ""
    needs: NeededModules | None = None

    @property
    def is_covalents_own(self) -> bool:
        """Whether Covalent added it by itself."""
        return self.kind not in (ELECTRON, SUBLATTICE)

    @property
    def title(self) -> str:
        """Its name, and what it is if that is not an electron."""
        if self.kind in (ELECTRON, SUBLATTICE):
            return self.name + (" (sublattice)" if self.kind == SUBLATTICE else "")
        return f"Covalent's {self.kind}"


def listed(nodes: Sequence[LatticeNode]) -> str:
    """The nodes by their titles, the user's own first; "" for one without a name."""
    numbers: dict[str, list[str]] = {}
    for node in sorted(nodes, key=lambda node: node.kind not in (ELECTRON, SUBLATTICE)):
        if node.title:
            numbers.setdefault(node.title, []).append(str(node.node_id))
    return ", ".join(f"{title} [{_some(ids)}]" for title, ids in numbers.items())


def by_executor(nodes: Sequence[LatticeNode]) -> dict[str, str]:
    """The nodes that each executor runs, listed."""
    return {
        executor: listed([node for node in nodes if node.executor == executor])
        for executor in dict.fromkeys(node.executor for node in nodes)
    }


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - MOST_LISTED} more" if len(ids) > MOST_LISTED else ""
    return f"node{'s' if len(ids) > 1 else ''} {', '.join(ids[:MOST_LISTED])}{more}"


def split_target(text: str) -> tuple[Path, str]:
    """The file and the lattice's name, "" where none is given, of FILE:NAME or FILE.

    Raises:
        RequestError: there is no such file.
    """
    file, colon, name = text.rpartition(":")
    if not colon or Path(text).is_file():
        file, name = text, ""
    path = Path(file)
    if not path.is_file():
        raise RequestError(f"{file!r} is not a file: give a Python file with a lattice, such as workflow.py:my_lattice")
    return path.resolve(), name


def choose_lattice(module: ModuleType, path: Path, name: str) -> Lattice:
    """The lattice of this name, or the only one.

    Raises:
        RequestError: naming the lattices that there are.
    """
    lattices = lattices_in(module)
    if not lattices:
        raise RequestError(f"{path} has no lattice: decorate a function with @ct.lattice")
    own = [key for key in lattices if isinstance(vars(module)[key], Lattice)] or list(lattices)
    if not name and len({id(lattices[key]) for key in own}) == 1:
        name = own[0]
    if name in lattices:
        return lattices[name]
    there = ", ".join(f"{path.name}:{key}" for key in lattices)
    if not name:
        raise RequestError(f"{path} has several lattices, name one: {there}")
    is_electron = hasattr(getattr(module, name, None), "electron_object")
    what = "is an electron, no lattice" if is_electron else "is not a lattice"
    near = nearest(name, lattices)
    meant = f" (did you mean {near!r}?)" if near else ""
    raise RequestError(f"{name!r} {what} of {path}{meant}; there are: {there}")


def lattices_in(module: ModuleType) -> dict[str, Lattice]:
    """The lattices at the top of a file, by their names there."""
    found = {key: _lattice_in(value) for key, value in vars(module).items()}
    return {key: value for key, value in found.items() if value is not None}


def _lattice_in(value: object) -> Lattice | None:
    """A lattice, also the one that `@ct.electron` has made a sublattice of."""
    electron = vars(value).get("electron_object") if inspect.isfunction(value) else None
    lattice = electron.function if isinstance(electron, Electron) else value
    return lattice if isinstance(lattice, Lattice) else None


def nodes_of(lattice: Lattice, path: Path, args: Sequence[object], kwargs: Mapping[str, object]) -> list[LatticeNode]:
    """The nodes that a dispatch of the lattice with these arguments would run, in the order of their numbers.

    The graph is built as `covalent._dispatcher_plugins.local.LocalDispatcher` builds it: by running the lattice's
    function, whose electrons note themselves down instead of running.

    Raises:
        RequestError: the arguments are not the lattice's.
        WorkflowError: the lattice's function raised.
    """
    lattice = deepcopy(lattice)
    lattice.metadata.pop("triggers", None)
    pickled: Any = lattice.workflow_function
    function = guarded(pickled.get_deserialized, f"{lattice.__name__} could not be read", path)
    _check_arguments(lattice.__name__, function, args, kwargs)
    guarded(lambda: lattice.build_graph(*args, **kwargs), f"the graph of {lattice.__name__} could not be built", path)
    graph = lattice.transport_graph.get_internal_graph_copy()
    return [
        replace(
            _node(node_id, attributes),
            map=_map(graph, node_id, attributes["function"]),
            needs=_needs(graph, node_id, attributes),
        )
        for node_id, attributes in sorted(graph.nodes(data=True))
        if not attributes["name"].startswith(parameter_prefix)
    ]


def installed_executors() -> list[str]:
    """The short names of the executors that Covalent knows here."""
    return list(_executor_manager.executor_plugins_map)


def _node(node_id: int, attributes: Mapping[str, Any]) -> LatticeNode:
    name, metadata = attributes["name"], attributes["metadata"]
    kind = ELECTRON
    if name.startswith(sublattice_prefix):
        kind, name = SUBLATTICE, name.removeprefix(sublattice_prefix)
    else:
        kind = next((own for pattern, own in OWN_NODES if pattern.fullmatch(name)), ELECTRON)
    carried = (metadata["executor_data"] or {}).get("attributes")
    return LatticeNode(
        node_id=node_id,
        name=name,
        kind=kind,
        python=attributes["function"].python_version,
        executor=str(metadata["executor"]),
        options=carried,
        has_hooks=any(metadata.get(name) for name in ("deps", "call_before", "call_after")),
    )


def _needs(graph: Any, node_id: int, attributes: Mapping[str, Any]) -> NeededModules:
    """The modules that a node's function, its arguments and its hooks import."""
    function = attributes["function"]
    pickles = {"function": raw_pickle(function)}
    for index, (source, _, _) in enumerate(graph.in_edges(node_id, data=True)):
        if isinstance(graph.nodes[source].get("value"), TransportableObject):
            pickles[f"arg{index}"] = raw_pickle(graph.nodes[source]["value"])
    hooks = [hook for when in ("call_before", "call_after") for hook in attributes["metadata"].get(when) or ()]
    for index, hook in enumerate(hooks):
        if isinstance(getattr(hook, "apply_fn", None), TransportableObject):
            pickles[f"hook{index}.function"] = raw_pickle(hook.apply_fn)
    name = attributes["name"]
    is_sublattice = name.startswith(sublattice_prefix)
    call = Call("plan", node_id, name, function.python_version, "", whole_string=is_sublattice)
    return needed_modules(with_sha256(call, pickles), pickles, carried_paths(function.header))


def _map(graph: Any, node_id: int, function: Any) -> Map | None:
    described = read_marker(function.attrs.get("doc"))
    if described is None:
        return None
    first = [source for source, _, edge in graph.in_edges(node_id, data=True) if edge.get("arg_index") == 0]
    value = graph.nodes[first[0]].get("value") if first else None
    return Map(items=item_count(getattr(value, "attrs", {}).get("name")))


def _check_arguments(
    name: str, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> None:
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        given = signature.bind_partial(*args[: _positional(signature)]).arguments.keys() | kwargs.keys()
        missing = [
            key
            for key, parameter in signature.parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and key not in given
        ]
        called = f"the lattice {name}{signature} cannot be called like this"
        unknown = _unknown(signature, kwargs)
        if unknown:
            raise RequestError(f"{called}: {'; '.join(unknown)}") from error
        remedy = "".join(f" --arg {key}=..." for key in missing)
        end = f": give{remedy}, with values in JSON" if missing else ""
        raise RequestError(f"{called}: {error}{end}") from error


def _unknown(signature: inspect.Signature, kwargs: Mapping[str, object]) -> list[str]:
    """A sentence for each name that is none of the parameters'."""
    parameters = signature.parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    found = []
    for key in kwargs:
        if key not in parameters:
            near = nearest(key, [name for name in parameters if name not in kwargs])
            found.append(f"it has no argument {key!r}{f' (did you mean {near!r}?)' if near else ''}")
    return found


def _positional(signature: inspect.Signature) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in signature.parameters.values())
