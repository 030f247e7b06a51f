"""Types of boot disks: which there are, and which machines take them."""

from __future__ import annotations

from .near_names import nearest
from .validators import text

LOCAL_SSD = "local-ssd"
# https://cloud.google.com/compute/docs/disks: those that a machine can boot from
_BOOT_DISKS = (
    *("pd-standard", "pd-balanced", "pd-ssd", "pd-extreme"),
    *("hyperdisk-balanced", "hyperdisk-balanced-high-availability"),
)
# https://cloud.google.com/compute/docs/disks/hyperdisks: those that it cannot
_DATA_DISKS = ("hyperdisk-extreme", "hyperdisk-ml", "hyperdisk-throughput")
# Same page: families that take no Persistent Disk
HYPERDISK_ONLY = ("n4-", "n4a-", "n4d-", "c4-", "c4a-", "c4d-", "m4-", "x4-", "a4-", "a4x-", "h4d-", "g4-")
# Same page: families that take no Hyperdisk Balanced
_WITHOUT_HYPERDISK = ("e2-", "n1-", "custom-", "n2-", "n2d-", "c2-", "c2d-", "t2d-", "t2a-", "f1-", "g1-")
# https://cloud.google.com/compute/docs/disks/persistent-disks: families that take no Persistent Disk of hard disks
_WITHOUT_HARD_DISKS = ("c3-", "c3d-", "g2-", "a3-", "h3-", "z3-")


def boot_disk_type(value: object) -> str:
    """A disk's type, as google.cloud.batch_v1.AllocationPolicy.Disk.type has it."""
    name = text(value)
    if name == LOCAL_SSD:
        raise ValueError("cannot be booted from: use pd-balanced, and local_ssd_gb for local SSDs")
    if name in _DATA_DISKS:
        raise ValueError("cannot be booted from: use hyperdisk-balanced")
    if name not in _BOOT_DISKS:
        near = nearest(name.lower(), _BOOT_DISKS, 0.7)
        raise ValueError(f"is no disk type: use {near or ', '.join(_BOOT_DISKS)}")
    return name


def boot_disk_problems(machine: str, disk_type: str) -> list[str]:
    """What is wrong with booting this machine from such a disk."""
    asked = f"boot_disk_type = {disk_type!r} is not for machine_type = {machine!r}, which takes"
    if disk_type.startswith("pd-") and machine.startswith(HYPERDISK_ONLY):
        return [f"{asked} Hyperdisk only: use hyperdisk-balanced"]
    if disk_type.startswith("hyperdisk-") and machine.startswith(_WITHOUT_HYPERDISK):
        return [f"{asked} no Hyperdisk to boot from: use pd-balanced"]
    if disk_type == "pd-standard" and machine.startswith(_WITHOUT_HARD_DISKS):
        return [f"{asked} no pd-standard: use pd-balanced"]
    return []
