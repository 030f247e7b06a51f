"""List what a Google Cloud project has by default: regions, machine types, accelerators, quotas.

A selection from https://cloud.google.com/compute/docs/regions-zones, .../machine-resource and .../gpus.
"""

from __future__ import annotations

import re

_ZONES = {
    "asia-east1": "abc",
    "asia-northeast1": "abc",
    "asia-south1": "abc",
    "asia-southeast1": "abc",
    "australia-southeast1": "abc",
    "europe-north1": "abc",
    "europe-west1": "bcd",
    "europe-west2": "abc",
    "europe-west3": "abc",
    "europe-west4": "abc",
    "europe-west6": "abc",
    "northamerica-northeast1": "abc",
    "southamerica-east1": "abc",
    "us-central1": "abcf",
    "us-east1": "bcd",
    "us-east4": "abc",
    "us-east5": "abc",
    "us-south1": "abc",
    "us-west1": "abc",
    "us-west2": "abc",
    "us-west4": "abc",
}
# https://cloud.google.com/compute/docs/regions-zones/ai-zones
_AI_ZONES = {"us-central1": ("us-central1-ai1a",), "us-south1": ("us-south1-ai1b",)}
REGIONS = {
    region: (*(f"{region}-{letter}" for letter in letters), *_AI_ZONES.get(region, ()))
    for region, letters in _ZONES.items()
}

ACCELERATORS = frozenset(
    {
        "nvidia-a100-80gb",
        "nvidia-h100-80gb",
        "nvidia-l4",
        "nvidia-tesla-a100",
        "nvidia-tesla-p100",
        "nvidia-tesla-p4",
        "nvidia-tesla-t4",
        "nvidia-tesla-v100",
    }
)

QUOTAS = {
    "CPUS": 2400.0,
    "N2_CPUS": 500.0,
    "N2D_CPUS": 500.0,
    "C2_CPUS": 300.0,
    "C2D_CPUS": 300.0,
    "T2D_CPUS": 300.0,
    "A2_CPUS": 96.0,
    "PREEMPTIBLE_CPUS": 0.0,
    "NVIDIA_T4_GPUS": 8.0,
    "NVIDIA_P100_GPUS": 8.0,
    "NVIDIA_V100_GPUS": 8.0,
    "NVIDIA_A100_GPUS": 8.0,
    "NVIDIA_L4_GPUS": 8.0,
    "PREEMPTIBLE_NVIDIA_T4_GPUS": 8.0,
}

# MB of memory per vCPU by family and kind, and the numbers of vCPUs there are
_COMMON = (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)
_SHAPES: dict[str, tuple[float, tuple[int, ...]]] = {
    "n1-standard": (3840, (1, 2, 4, 8, 16, 32, 64, 96)),
    "n1-highmem": (6656, (2, 4, 8, 16, 32, 64, 96)),
    "n1-highcpu": (921.6, (2, 4, 8, 16, 32, 64, 96)),
    "n2-standard": (4096, _COMMON),
    "n2-highmem": (8192, _COMMON),
    "n2-highcpu": (1024, _COMMON[:9]),
    "n2d-standard": (4096, (2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224)),
    "e2-standard": (4096, (2, 4, 8, 16, 32)),
    "e2-highmem": (8192, (2, 4, 8, 16)),
    "e2-highcpu": (1024, (2, 4, 8, 16, 32)),
    "c2-standard": (4096, (4, 8, 16, 30, 60)),
    "c3-standard": (4096, (4, 8, 22, 44, 88, 176)),
    "t2d-standard": (4096, (1, 2, 4, 8, 16, 32, 48, 60)),
    "g2-standard": (4096, (4, 8, 12, 16, 24, 32, 48, 96)),
}
_ODD_SIZES = {
    "a2-highgpu-1g": (12, 87040),
    "a2-highgpu-2g": (24, 174080),
    "a2-highgpu-4g": (48, 348160),
    "a2-highgpu-8g": (96, 696320),
    "a2-ultragpu-1g": (12, 174080),
    "a3-highgpu-8g": (208, 1916928),
    "n2-highmem-128": (128, 884736),
    "e2-micro": (2, 1024),
    "e2-small": (2, 2048),
    "e2-medium": (2, 4096),
}
_CUSTOM = re.compile(r"(?:[a-z0-9]+-)?custom-(\d+)-(\d+)(?:-ext)?")


def machine_size(name: str) -> tuple[int, int] | None:
    """Return the vCPUs and MB of memory of a machine type; None if there is none of this name."""
    if name in _ODD_SIZES:
        return _ODD_SIZES[name]
    if custom := _CUSTOM.fullmatch(name):
        return int(custom[1]), int(custom[2])
    kind, _, cpus = name.rpartition("-")
    if kind in _SHAPES and cpus.isdecimal() and int(cpus) in _SHAPES[kind][1]:
        return int(cpus), int(int(cpus) * _SHAPES[kind][0])
    return None
