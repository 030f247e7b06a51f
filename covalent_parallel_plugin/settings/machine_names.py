"""Names of Compute Engine's machine types and accelerators: which of them can exist, and the nearest that does.

A machine series of a generation that is not complete yet is taken to exist, so that a new one works before this file
knows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ..protocol.environment import for_google
from .custom_machines import custom_machine_problem
from .near_names import nearest
from .validators import text

_COMMON = ("standard", "highmem", "highcpu")
# https://cloud.google.com/compute/docs/machine-resource: the series of generations that are complete, with their kinds
_SERIES: Mapping[str, Sequence[str]] = {
    "a2": ("highgpu", "megagpu", "ultragpu"),
    "a3": ("highgpu", "megagpu", "ultragpu", "edgegpu"),
    "c2": ("standard",),
    "c2d": _COMMON,
    "c3": _COMMON,
    "c3d": _COMMON,
    "e2": (*_COMMON, "custom", "micro", "small", "medium"),
    "f1": ("micro",),
    "g1": ("small",),
    "g2": ("standard", "custom"),
    "h3": ("standard",),
    "m1": ("megamem", "ultramem"),
    "m2": ("hypermem", "megamem", "ultramem"),
    "m3": ("megamem", "ultramem"),
    "n1": (*_COMMON, "custom", "megamem", "ultramem"),
    "n2": (*_COMMON, "custom"),
    "n2d": (*_COMMON, "custom"),
    "t2a": ("standard",),
    "t2d": ("standard",),
    "z3": ("standard", "highmem"),
}
# Same pages: the numbers in the names of their types (vCPUs, or GPUs of those with a g); z3 still grows
_SIZES: Mapping[str, Sequence[str]] = {
    "a2-highgpu": ("1g", "2g", "4g", "8g"),
    "a2-megagpu": ("16g",),
    "a2-ultragpu": ("1g", "2g", "4g", "8g"),
    "a3-highgpu": ("1g", "2g", "4g", "8g"),
    **dict.fromkeys(("a3-megagpu", "a3-ultragpu", "a3-edgegpu"), ("8g",)),
    "c2-standard": ("4", "8", "16", "30", "60"),
    **{f"c2d-{kind}": ("2", "4", "8", "16", "32", "56", "112") for kind in _COMMON},
    **{f"c3-{kind}": ("4", "8", "22", "44", "88", "176", "192-metal") for kind in _COMMON},
    **{f"c3d-{kind}": ("4", "8", "16", "30", "60", "90", "180", "360") for kind in _COMMON},
    "e2-standard": ("2", "4", "8", "16", "32"),
    "e2-highmem": ("2", "4", "8", "16"),
    "e2-highcpu": ("2", "4", "8", "16", "32"),
    "g2-standard": ("4", "8", "12", "16", "24", "32", "48", "96"),
    "h3-standard": ("88",),
    **dict.fromkeys(("m1-megamem", "n1-megamem"), ("96",)),
    **dict.fromkeys(("m1-ultramem", "n1-ultramem"), ("40", "80", "160")),
    **dict.fromkeys(("m2-hypermem", "m2-megamem"), ("416",)),
    "m2-ultramem": ("208", "416"),
    "m3-megamem": ("64", "128"),
    "m3-ultramem": ("32", "64", "128"),
    "n1-standard": ("1", "2", "4", "8", "16", "32", "64", "96"),
    **{f"n1-{kind}": ("2", "4", "8", "16", "32", "64", "96") for kind in _COMMON[1:]},
    **{f"n2-{kind}": ("2", "4", "8", "16", "32", "48", "64", "80", "96", "128") for kind in _COMMON[:2]},
    "n2-highcpu": ("2", "4", "8", "16", "32", "48", "64", "80", "96"),
    "n2d-highmem": ("2", "4", "8", "16", "32", "48", "64", "80", "96"),
    **{f"n2d-{kind}": ("2", "4", "8", "16", "32", "48", "64", "80", "96", "128", "224") for kind in _COMMON[::2]},
    "t2a-standard": ("1", "2", "4", "8", "16", "32", "48"),
    "t2d-standard": ("1", "2", "4", "8", "16", "32", "48", "60"),
}
# The kinds that have types with local SSDs, and those without the types that the others have
_ENDINGS = {
    **dict.fromkeys(("c3-standard", "c3d-standard", "c3d-highmem"), "-lssd"),
    **dict.fromkeys(("a3-highgpu", "a3-megagpu", "a3-ultragpu", "a3-edgegpu"), "-nolssd"),
}
# Those of the newest generation that are known; what else there is of it, and of later ones, is not refused
_NEWEST: Mapping[str, Sequence[str]] = {
    "a4": ("highgpu",),
    "a4x": ("highgpu", "maxgpu"),
    "c4": _COMMON,
    "c4a": _COMMON,
    "c4d": _COMMON,
    "c4n": _COMMON,
    "g4": ("standard",),
    "h4d": ("standard", "highmem"),
    "m4": ("hypermem", "megamem", "ultramem"),
    "m4n": ("hypermem", "megamem", "ultramem"),
    "n4": (*_COMMON, "custom"),
    "n4a": (*_COMMON, "custom"),
    "n4d": (*_COMMON, "custom"),
    "x4": ("megamem",),
}
_IN_NEW_SERIES = re.compile(r"[a-z][4-9][a-z]?|(ct|tpu)\d+[a-z]*")
_SHARED_CORE = ("e2-micro", "e2-small", "e2-medium", "f1-micro", "g1-small")
_KNOWN = [f"{series}-{kind}" for series, kinds in {**_SERIES, **_NEWEST}.items() for kind in kinds] + ["custom"]
_KINDS = sorted({kind for kinds in (*_SERIES.values(), *_NEWEST.values(), ("hightpu",)) for kind in kinds})
_NAME = re.compile(r"([a-z](?:[a-z0-9]|-(?![0-9]))*)((?:-[a-z0-9]+)*)")

# https://cloud.google.com/compute/docs/gpus: what N1 machines take, and the virtual workstations' names of these
ATTACHED_GPUS = ("nvidia-tesla-t4", "nvidia-tesla-p4", "nvidia-tesla-p100", "nvidia-tesla-v100")
# Same page: accelerators that exist only inside machines of a family of their own, and a machine type that has one
BUILT_IN_GPUS = {
    "nvidia-l4": "g2-standard-4",
    "nvidia-tesla-a100": "a2-highgpu-1g",
    "nvidia-a100-80gb": "a2-ultragpu-1g",
    "nvidia-h100-80gb": "a3-highgpu-8g",
    "nvidia-h100-mega-80gb": "a3-megagpu-8g",
    "nvidia-h200-141gb": "a3-ultragpu-8g",
    "nvidia-b200": "a4-highgpu-8g",
    "nvidia-gb200": "a4x-highgpu-4g",
    "nvidia-gb300": "a4x-maxgpu-4g-metal",
    "nvidia-rtx-pro-6000": "g4-standard-48",
}
# https://cloud.google.com/compute/docs/eol/k80-eol
_RETIRED_GPUS = ("nvidia-tesla-k80",)


def machine_type(value: object) -> str:
    """A Compute Engine machine type's name."""
    name = text(value)
    if _is_custom(name) and (problem := custom_machine_problem(name)):
        raise ValueError(problem)
    if not _is_machine_type(name):
        near = nearest_machine_type(name) or "n2-standard-4"
        command = for_google(" (gcloud compute machine-types list)")
        raise ValueError(f"is not a machine type: use a name such as {near}{command}")
    return name


def _is_custom(name: str) -> bool:
    """Whether a name is meant as that of a custom machine, of a family that has some."""
    series, custom, _ = name.partition("custom")
    known = {**_SERIES, **_NEWEST}.get(series.removesuffix("-"), ())
    return bool(custom) and (series == "" or "custom" in known)


def _is_machine_type(name: str) -> bool:
    found = _NAME.fullmatch(name)
    if found is None or len(name) > 63:
        return False
    head, size = found.groups()
    if head in _SHARED_CORE:
        return not size
    if not size:
        return False
    series, _, kind = head.partition("-")
    kind = kind.partition("-")[0]
    if series in _SERIES:
        sizes = _SIZES.get(head)
        return kind in _SERIES[series] and (sizes is None or size[1:].removesuffix(_ENDINGS.get(head, "")) in sizes)
    if head == "custom":
        return True
    # A kind that looks like one there is, and is not that one, is a slip of the hand
    is_known = kind in (*_KINDS, "") or nearest(kind, _KINDS, 0.7) is None
    return _IN_NEW_SERIES.fullmatch(series) is not None and is_known


def is_machine_family(name: str) -> bool:
    """Whether this is a series, such as n1, or a kind of one, such as n1-highmem, whose types' names have vCPUs."""
    series, dash, kind = name.partition("-")
    kinds = {**_SERIES, **_NEWEST}.get(series)
    if kinds is None:
        return _IN_NEW_SERIES.fullmatch(series) is not None and (not dash or re.fullmatch("[a-z]+", kind) is not None)
    sized = [each for each in kinds if each != "custom" and f"{series}-{each}" not in _SHARED_CORE]
    return kind in sized if dash else bool(sized)


def nearest_machine_type(name: str) -> str | None:
    """The machine type that a mistyped name most likely means; None where none is near."""
    found = _NAME.match(re.sub(r"[\s_]+", "-", name.strip().lower()))
    if found is None:
        return None
    head, size = found.groups()
    near = nearest(head, _KNOWN, 0.6)
    if near is None or near in _SHARED_CORE:
        return near
    return near + _nearest_size(near, size or "-4")


def _nearest_size(head: str, size: str) -> str:
    """The end of a name in which a number stands that types of this kind have."""
    number, sizes = re.search(r"\d+", size), _SIZES.get(head, ())
    if number is None or not sizes or size[1:] in sizes:
        return size
    return "-" + min(sizes, key=lambda known: abs(int(re.sub(r"\D", "", known)) - int(number[0])))


def gpu_type(value: object) -> str:
    """A Compute Engine accelerator type's name."""
    name = text(value)
    known = (*ATTACHED_GPUS, *BUILT_IN_GPUS)
    if name.removesuffix("-vws") in known:
        return name
    if name in _RETIRED_GPUS:
        raise ValueError("is an accelerator type that Google has retired: use nvidia-tesla-t4")
    near = _nearest_gpu(name, known) or "nvidia-tesla-t4"
    command = for_google(" (gcloud compute accelerator-types list)")
    raise ValueError(
        f"is not an accelerator type that machines take: use a name such as {near}{command};"
        " for GPUs that come with their machine, leave it out and set machine_type"
    )


def _nearest_gpu(name: str, known: Iterable[str]) -> str | None:
    """The type that a name most likely means: also a short one, such as t4 or A100."""
    plain = re.sub(r"[\s_]+", "-", name.strip().lower())
    model = plain.removeprefix("nvidia-").removeprefix("tesla-")
    short = [full for full in known if full.endswith(f"-{model}") or f"-{model}-" in full]
    return short[0] if short else nearest(plain, known, 0.6)
