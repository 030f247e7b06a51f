"""Throw darts at a square, and estimate pi from the share that hits the circle in it."""

import argparse
import json
import math
import random

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--darts", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
given = parser.parse_args()

draw = random.Random(given.seed).random
hits = sum(draw() ** 2 + draw() ** 2 <= 1 for _ in range(given.darts))
pi_hat = 4 * hits / given.darts
print(f"{hits} of {given.darts} darts have hit")
with open("result.json", "w") as file:
    json.dump({"pi_hat": pi_hat, "error": abs(pi_hat - math.pi)}, file)
