"""Estimate pi from random points, in twenty independent runs, and say how far they scatter."""

import math

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, pmap, wait

POINTS = 100_000


@pmap(executor=GCPBatchExecutor(vcpus=1, memory=512, max_parallel=4))
def estimate(seed, points):
    import random

    draw = random.Random(seed).random
    inside = sum(draw() ** 2 + draw() ** 2 <= 1 for _ in range(points))
    return 4 * inside / points


@ct.lattice
def workflow(runs, points):
    return estimate(range(runs), points=points)


if __name__ == "__main__":
    estimates = wait(ct.dispatch(workflow)(20, POINTS))
    mean = sum(estimates) / len(estimates)
    variance = sum((value - mean) ** 2 for value in estimates) / (len(estimates) - 1)
    print(f"pi = {mean:.4f} +- {math.sqrt(variance / len(estimates)):.4f}")
