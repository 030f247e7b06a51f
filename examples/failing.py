"""An electron that raises: the program prints its traceback, and ends with exit status 1."""

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, wait


@ct.electron(executor=GCPBatchExecutor(vcpus=1, memory=512))
def mean(values):
    print("averaging", len(values), "values")
    return sum(values) / len(values)


@ct.lattice
def workflow(values):
    return mean(values)


if __name__ == "__main__":
    dispatch_id = ct.dispatch(workflow)([])
    print(wait(dispatch_id))
