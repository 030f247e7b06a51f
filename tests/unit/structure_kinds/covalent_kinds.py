"""Print the pickles of what Covalent makes of electrons, maps and lattices, as kinds.py does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import covalent as ct

from covalent_parallel_plugin import pmap
from covalent_parallel_plugin.covalent_api.graph_inputs import PickledValue
from covalent_parallel_plugin.covalent_api.transportable import TransportableObject, raw_pickle

# more lines
FACTOR = 3


def scaled(x: int) -> int:
    return FACTOR * x


@pmap(executor="gcpbatch", return_exceptions=True)
def mapped(x: int, y: int = 1) -> int:
    return scaled(x) * y


# more lines
@ct.electron(executor="gcpbatch", deps_pip=ct.DepsPip(["numpy"]), call_before=ct.DepsCall(scaled, args=[3]))
def hooked(x: int) -> int:
    return scaled(x)


@ct.electron
def calls_another(x: int) -> int:
    return int(hooked(x))


@ct.electron
@ct.lattice
def sub(x: int) -> Any:
    return hooked(x)


def function_of(electron: Any) -> Callable[..., Any]:
    found: Callable[..., Any] = electron.electron_object.function
    return found


def main() -> None:
    made = {
        "the function of a map": function_of(mapped._electron),
        "an electron's function": function_of(hooked),
        "an electron that calls another": function_of(calls_another),
        "items": PickledValue([{"x": 1}, {"x": 2}], "2 items for a map"),
        "a lattice": ct.lattice(lambda x: mapped([hooked(x), 2])),
        "a lattice in a lattice": ct.lattice(lambda x: sub(x)),
        "hooks": hooked.electron_object.get_metadata("hooks"),
        "a wrapped value": TransportableObject(scaled),
        "a wrapped value as JSON": TransportableObject(scaled).to_dict(),
    }
    print(json.dumps({name: raw_pickle(TransportableObject(each)).hex() for name, each in made.items()}))


if __name__ == "__main__":
    main()
