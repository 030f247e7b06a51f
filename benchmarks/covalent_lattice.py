"""Dispatches one lattice of independent electrons to a Covalent server and prints the dispatch's id; run by path.

Argument: a JSON object with "executor" (a short name) and "electrons" (how many). The lattice's own last node, which
puts the lattice's value together, runs on the executor too.
"""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("ignore")

import covalent as ct  # noqa: E402 (after the filter)

given = json.loads(sys.argv[1])


@ct.electron(executor=given["executor"])
def nothing():
    return None


@ct.lattice(executor=given["executor"], workflow_executor=given["executor"])
def many():
    for _ in range(given["electrons"]):
        nothing()


print(ct.dispatch(many)(), flush=True)
