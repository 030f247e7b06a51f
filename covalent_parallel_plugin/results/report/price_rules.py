"""What each column of a file of prices accepts: a rule returns a value in its plain form, or raises ValueError.

The error's text follows "column = value" in a sentence, and ends with the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta

from ...settings.machine_names import ATTACHED_GPUS, BUILT_IN_GPUS, gpu_type, is_machine_family, machine_type
from ...settings.machine_rules import has_built_in_gpus, region
from ...settings.validators import Rule, number
from .prices import MOST_DOLLARS

EXAMPLE = {
    "machine": "n1-standard-4, n1 or nvidia-tesla-t4",
    "dollars_per_hour": "0.25",
    "date": "2026-11-28",
    "source": "our contract",
}
LONGEST_SOURCE = 200
_dollars = number(above=0, most=MOST_DOLLARS)


def rules(today: date) -> Mapping[str, Rule]:
    """Return the rule of each column, by its name."""
    return {
        "machine": _machine,
        "region": lambda value: region(_text(value)),
        "dollars_per_hour": _price,
        "spot_dollars_per_hour": _price,
        "date": lambda value: _day(value, today),
        "source": _source,
    }


def _machine(value: object) -> str:
    name = _text(value)
    gpus = [gpu for gpu in ATTACHED_GPUS if gpu.endswith(f"-{name.lower()}")]
    if gpus:
        raise ValueError(f"is short for a GPU: write {gpus[0]}")
    if name.startswith("nvidia-"):
        model = gpu_type(name).removesuffix("-vws")
        if model in BUILT_IN_GPUS:
            raise ValueError(f"comes with its machine: give the price of its type, such as {BUILT_IN_GPUS[model]}")
        return name
    if has_built_in_gpus(f"{name}-") and is_machine_family(name):
        raise ValueError("is a family whose machines bring GPUs: give the price of each type, such as g2-standard-4")
    if is_machine_family(name):
        return name
    try:
        return machine_type(name)
    except ValueError as error:
        others = f"; a family such as n1 or n1-highmem, or a GPU such as {ATTACHED_GPUS[0]}"
        raise ValueError(f"{error}{others}") from None


def _price(value: object) -> float:
    try:
        return float(_dollars(value))
    except ValueError as error:
        if isinstance(value, str) and re.search(r"\d", value) and str(error).startswith("is not a number"):
            raise ValueError("is not a number: write dollars with a point, and no sign, such as 0.25") from None
        problem = str(error).partition(":")[0]
        raise ValueError(f"{problem}: write dollars, more than 0 and at most {MOST_DOLLARS}") from None


def _day(value: object, today: date) -> str:
    text = _text(value)
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) is None:
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"is not a date: write YYYY-MM-DD, such as {EXAMPLE['date']}") from None
    # Somebody's today may be another one's tomorrow
    if day > today + timedelta(days=1):
        raise ValueError("is in the future: write the day on which the source said so")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text: write it in double quotes")
    return value.strip()


def _source(value: object) -> str:
    text = _text(value)
    if not text or not text.isprintable() or len(text) > LONGEST_SOURCE:
        raise ValueError(f"is not one line of at most {LONGEST_SOURCE} characters: say in short who names the price")
    return text
