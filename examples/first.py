"""The first workflow: one function, run as a Google Batch job."""

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, wait

executor = GCPBatchExecutor(vcpus=1, memory=512)


@ct.electron(executor=executor)
def count(text):
    print("counting the words of", repr(text))
    return f"{len(text.split())} words"


@ct.lattice
def workflow(text):
    return count(text)


if __name__ == "__main__":
    dispatch_id = ct.dispatch(workflow)("to be or not to be")
    print(wait(dispatch_id))
