"""Densities of materials, from a file of the package."""

import csv
from pathlib import Path

from . import names

TABLE = Path(__file__).with_name("densities.csv")


def density(material: str) -> float:
    """Return a density in kg/m³."""
    with TABLE.open(newline="") as file:
        return next(float(row["kg_per_m3"]) for row in csv.DictReader(file) if row["name"] == names.plain(material))
