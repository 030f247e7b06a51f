"""Which zones have which GPUs, as far as is known here: a report names them where a GPU was waited for.

From https://github.com/skypilot-org/skypilot-catalog, catalogs/v8/gcp/vms.csv at commit 006059e0, which is made from
the answers of Google's Compute Engine API; read on 2026-11-28. Google's own table, which `PAGE` has, is the one that
counts: zones come and go, and what is not here may be there. `covalent-parallel doctor` asks Google.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .machine_names import BUILT_IN_GPUS

PAGE = "docs.cloud.google.com/compute/docs/regions-zones/gpu-regions-zones"
# By GPU the regions, each with its zones' letters
_LETTERS: Mapping[str, Mapping[str, str]] = {
    gpu: dict(each.split(":") for each in regions.split())
    for gpu, regions in {
        "nvidia-tesla-t4": "us-central1:abcf us-east1:bcd us-east4:abc us-west1:ab us-west2:bc us-west3:b us-west4:ab"
        " northamerica-northeast1:c southamerica-east1:abc europe-central2:bc europe-west1:bcd europe-west2:ab"
        " europe-west3:b europe-west4:abc me-west1:bc asia-east1:ac asia-east2:ac asia-northeast1:ac"
        " asia-northeast3:bc asia-south1:ab asia-southeast1:abc asia-southeast2:ab australia-southeast1:ac",
        "nvidia-l4": "us-central1:abc us-east1:bcd us-east4:ac us-west1:abc us-west4:ac northamerica-northeast1:bc"
        " northamerica-northeast2:ab europe-west1:bc europe-west2:ab europe-west3:ab europe-west4:abc europe-west6:bc"
        " me-central2:ac asia-east1:abc asia-northeast1:abc asia-northeast3:ab asia-south1:abc asia-southeast1:abc",
        "nvidia-tesla-v100": "us-central1:abcf us-east1:bc us-west1:ab europe-west4:abc asia-east1:c",
        "nvidia-tesla-p100": "us-central1:cf us-east1:bc us-west1:ab europe-west1:bd europe-west4:a asia-east1:ac"
        " australia-southeast1:b",
        "nvidia-tesla-p4": "us-central1:ac us-east4:abc us-west2:bc northamerica-northeast1:abc europe-west4:bc"
        " asia-southeast1:abc australia-southeast1:ab",
        "nvidia-tesla-a100": "us-central1:abcf us-east1:b us-west1:b us-west3:b us-west4:b europe-west4:ab me-west1:ac"
        " asia-northeast1:ac asia-northeast3:ab asia-southeast1:abc",
        "nvidia-a100-80gb": "us-central1:ac us-east4:c us-east5:ab europe-west4:a asia-southeast1:c",
    }.items()
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
