"""Electrons that import a module beside this file, and a package in a folder: both travel with the call."""

import bars
import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor

executor = GCPBatchExecutor(vcpus=1, memory=512)


@ct.electron(executor=executor)
def mass(material: str) -> float:
    return bars.mass(material, 2.0, 0.1, 0.05)


@ct.lattice
def masses() -> list[float]:
    return [mass("Oak"), mass("Steel")]


if __name__ == "__main__":
    dispatch_id = ct.dispatch(masses)()
    result = ct.get_result(dispatch_id, wait=True)
    print(result.status, result.result)
