"""Which zones have which GPUs, as far as is known here: a report names them where a GPU was waited for.

From https://cloud.google.com/compute/docs/gpus/gpu-regions-zones, of which this is a part: others may have
them too, and zones come and go. `covalent-parallel doctor` asks Google.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .machine_names import BUILT_IN_GPUS

# By GPU and region the zones' letters
_LETTERS: Mapping[str, Mapping[str, str]] = {
    "nvidia-tesla-t4": {
        "us-central1": "abcf",
        "us-east1": "cd",
        "us-east4": "abc",
        "us-west1": "ab",
        "us-west4": "ab",
        "europe-west1": "bcd",
        "europe-west2": "ab",
        "europe-west3": "b",
        "europe-west4": "abc",
        "asia-east1": "ac",
        "asia-northeast1": "ac",
        "asia-south1": "ab",
        "asia-southeast1": "abc",
    },
    "nvidia-l4": {
        "us-central1": "ab",
        "us-east1": "bd",
        "us-east4": "a",
        "us-west1": "ab",
        "europe-west4": "abc",
        "asia-south1": "a",
        "asia-southeast1": "b",
    },
    "nvidia-tesla-v100": {"us-central1": "abcf", "us-east1": "c", "us-west1": "ab", "europe-west4": "abc"},
    "nvidia-tesla-p100": {
        "us-central1": "cf",
        "us-east1": "bc",
        "us-west1": "ab",
        "europe-west1": "bd",
        "europe-west4": "a",
        "asia-east1": "ac",
    },
    "nvidia-tesla-p4": {"us-central1": "ac", "us-east4": "abc", "europe-west4": "bc", "asia-southeast1": "bc"},
    "nvidia-tesla-a100": {
        "us-central1": "abcf",
        "us-east1": "b",
        "us-west1": "b",
        "us-west4": "b",
        "europe-west4": "ab",
        "asia-northeast1": "ac",
        "asia-southeast1": "bc",
    },
    "nvidia-a100-80gb": {"us-central1": "ac", "us-east4": "c", "europe-west4": "a", "asia-southeast1": "c"},
}


def zones_with(gpu_type: str, region: str) -> Sequence[str]:
    """Return the zones of a region that have a GPU; () where none is known."""
    letters = _LETTERS.get(gpu_type.removesuffix("-vws"), {}).get(region, "")
    return tuple(f"{region}-{letter}" for letter in letters)


def regions_with(gpu_type: str) -> Sequence[str]:
    """Return the regions that are known to have a GPU."""
    return tuple(_LETTERS.get(gpu_type.removesuffix("-vws"), {}))


def gpu_of(machine_type: str) -> str:
    """Return the GPU that is built into a machine type; "" for none, or one that is not known."""
    kind = machine_type.rpartition("-")[0]
    return next((gpu for gpu, named in BUILT_IN_GPUS.items() if kind and named.rpartition("-")[0] == kind), "")
