"""A step that is expensive and a step that changes often: started again, the script pays for what has changed only.

Run it twice: the second time no job is made. Then change `report`, and only that runs.
"""

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor

cached = GCPBatchExecutor(memory="1GB", cache=True)


@ct.electron(executor=cached)
def primes_below(limit):
    """The expensive step."""
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(limit) if sieve[number]]


@ct.electron(executor=cached)
def report(primes):
    """The step that is worked on."""
    return f"{len(primes)} primes, the largest is {primes[-1]}"


@ct.lattice
def workflow(limit):
    return report(primes_below(limit))


if __name__ == "__main__":
    dispatch_id = ct.dispatch(workflow)(1_000_000)
    print(ct.get_result(dispatch_id, wait=True).result)
