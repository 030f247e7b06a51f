"""Input data: a file is read here, sent once, and shared by all items of a map."""

import csv
from pathlib import Path

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, pmap, wait

FILE = Path(__file__).with_name("seedlings.csv")


@pmap(executor=GCPBatchExecutor(vcpus=1, memory=512, max_parallel=4))
def resampled_mean(seed, heights):
    import random

    sample = random.Random(seed).choices(heights, k=len(heights))
    return sum(sample) / len(sample)


@ct.lattice
def workflow(samples, heights):
    # Each item gets its own seed; `heights` is uploaded once for all of them
    return resampled_mean(range(samples), heights=heights)


if __name__ == "__main__":
    with FILE.open(newline="") as file:
        heights = [float(row["height_mm"]) for row in csv.DictReader(file)]
    means = sorted(wait(ct.dispatch(workflow)(200, heights)))
    print(f"mean height {sum(heights) / len(heights):.1f} mm, 95 % interval {means[5]:.1f} to {means[-6]:.1f} mm")
