"""Estimate pi: the share of random points of a square that lie in the circle inside it."""

import argparse
import random

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--iterations", type=int, default=100_000, help="points")
parser.add_argument("--seed", type=int, default=0)
given = parser.parse_args()

draw = random.Random(given.seed).random
inside = sum(draw() ** 2 + draw() ** 2 <= 1 for _ in range(given.iterations))
print(f"{given.iterations} points, {inside} of them inside")
print(f"pi_hat = {4 * inside / given.iterations:.6f}")
