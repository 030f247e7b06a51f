"""What the options of a job's machines accept, and what Compute Engine's machine families can and cannot do.

The names are those of https://cloud.google.com/compute/docs/machine-resource; a family that is not listed here is taken
to be able to do what is asked, so that a new one works before this file knows it.
"""

from __future__ import annotations

import re

from ..protocol.value_text import shortened
from .disk_types import boot_disk_problems
from .machine_limits import LOCAL_SSD_GB, attached_gpu_counts, local_ssd_problems, local_ssd_type
from .machine_names import BUILT_IN_GPUS
from .quantities import size
from .region_names import is_region, nearest_region
from .validators import LARGEST_NUMBER, list_of_text, text

# https://cloud.google.com/compute/docs/gpus: families that come with their GPUs and take no accelerator field
BUILT_IN_GPU_FAMILIES = ("a2-", "a3-", "a4-", "a4x-", "g2-", "g4-")
# Same page: GPUs of the G2 types, whose names have vCPUs only
G2_GPUS = {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8}
# https://cloud.google.com/compute/docs/disks/local-ssd: families that take none
WITHOUT_LOCAL_SSD = (
    "e2-",
    "t2d-",
    "t2a-",
    "n4-",
    "n4a-",
    "n4d-",
    "m1-ultramem-",
    "n1-ultramem-",
    "m2-",
    "m4-",
    "x4-",
    "h3-",
    "f1-",
)
# Same page: families in which only the types that end in -lssd have local SSDs
LOCAL_SSD_TYPES_ONLY = ("c3-", "c3d-", "c4-", "c4a-", "c4d-", "h4d-")
# https://cloud.google.com/compute/docs/instances/about-flex-start-vms: seven days at most
MAX_FLEX_START_SECONDS = 7 * 24 * 3600

# https://cloud.google.com/compute/docs/disks/local-ssd: 36 TiB at most, of a Z3 machine
MOST_LOCAL_SSDS = 96
# google.cloud.batch_v1.AllocationPolicy.InstancePolicy.reservation
NO_RESERVATION = "NO_RESERVATION"

_GPUS_IN_NAME = re.compile(r"-(\d+)g$")
_gigabytes = size("GB", least=-LARGEST_NUMBER)
# https://cloud.google.com/compute/docs/regions-zones/ai-zones: AI zones have names such as us-south1-ai1b
_ZONE = re.compile(r"[a-z]+(-[a-z]+)+\d+-(ai\d+)?[a-z]")
# What the API's own answers, gcloud and the console put before a resource's partial URL
_API = re.compile(r"(https://(www|compute)\.googleapis\.com/compute/(v1|beta|alpha)/|//compute\.googleapis\.com/)")
_COMPUTE = r"(?:projects/[a-z0-9.:-]+/)?"
_COMPUTE_NAME = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NETWORK = re.compile(rf"{_COMPUTE_NAME}|{_COMPUTE}global/networks/{_COMPUTE_NAME}")
_SUBNETWORK = re.compile(rf"{_COMPUTE_NAME}|{_COMPUTE}regions/([a-z0-9-]+)/subnetworks/{_COMPUTE_NAME}")
_RESERVATION = re.compile(rf"(?:projects/[a-z0-9.:-]+/)?(?:zones/[a-z0-9-]+/reservations/)?{_COMPUTE_NAME}")
_CONSUMPTIONS = ("STANDARD", "FLEX_START", NO_RESERVATION, "RESERVATION:", "RESERVATION_BOUND:")


def region(value: object) -> str:
    """A region; a zone is refused with its region named."""
    name = text(value)
    if _ZONE.fullmatch(name):
        raise ValueError(f"is a zone: use its region, {name.rsplit('-', 1)[0]!r}")
    if not is_region(name):
        raise ValueError(f"is not a region: use {nearest_region(name) or 'one such as us-east1 or europe-west4'}")
    return name


def zones(value: object) -> list[str]:
    """A list of zones, or their names with commas between them."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    names = [re.sub(r"(projects/[^/]+/)?zones/", "", partial_url(name), count=1) for name in list_of_text(value)]
    for name in names:
        if not _ZONE.fullmatch(name) or not is_region(region_of(name)):
            near = re.fullmatch(r"(.*\d)[ _-]*([a-z])", name.lower())
            place = nearest_region(near[1]) if near else None
            remedy = f"{place}-{near[2]}" if place and near else "names such as us-east1-b"
            raise ValueError(f"holds {shortened(name)}, which is not a zone: use {remedy}")
    if len(set(names)) < len(names):
        raise ValueError("names a zone twice: leave one out")
    return names


def region_of(zone: str) -> str:
    """The region a zone lies in."""
    return zone.rsplit("-", 1)[0]


def partial_url(url: str) -> str:
    """A resource's URL without the address of Compute Engine's API; any other text as it is."""
    return _API.sub("", url, count=1) if _API.match(url) else url


def network(value: object) -> str:
    """A network's name or (partial) URL, as AllocationPolicy.NetworkInterface.network has it."""
    name = partial_url(text(value))
    if not _NETWORK.fullmatch(name):
        raise ValueError("is not a network: use its name, or projects/PROJECT/global/networks/NAME")
    return name if "/" in name else f"global/networks/{name}"


def subnetwork(value: object) -> str:
    """A subnetwork's name or (partial) URL, as AllocationPolicy.NetworkInterface.subnetwork has it."""
    name = partial_url(text(value))
    if not _SUBNETWORK.fullmatch(name):
        raise ValueError("is not a subnetwork: use its name, or projects/PROJECT/regions/REGION/subnetworks/NAME")
    return name


def subnetwork_region(name: str) -> str:
    """The region that a subnetwork's URL names; "" for a bare name."""
    found = _SUBNETWORK.fullmatch(name)
    return (found and found[1]) or ""


def local_ssd_gb(value: object) -> int:
    """A multiple of 375 that the machine type takes, or 0 for none."""
    try:
        gigabytes: int = _gigabytes(value)
    except ValueError as error:
        raise ValueError(f"is not a whole number: use a multiple of {LOCAL_SSD_GB}, such as {LOCAL_SSD_GB}") from error
    most = LOCAL_SSD_GB * MOST_LOCAL_SSDS
    if not 0 <= gigabytes <= most:
        raise ValueError(f"is out of range: use a multiple of {LOCAL_SSD_GB} from 0 to {most}")
    if gigabytes % LOCAL_SSD_GB:
        more = (gigabytes // LOCAL_SSD_GB + 1) * LOCAL_SSD_GB
        raise ValueError(f"is not a multiple of {LOCAL_SSD_GB}, the size of one local SSD: use {more}")
    return gigabytes


def provisioning(value: object) -> str:
    """STANDARD, FLEX_START, NO_RESERVATION, RESERVATION:NAME or RESERVATION_BOUND:NAME."""
    name = text(value)
    kind, colon, reservation = name.partition(":")
    if kind.upper() in ("SPOT", "PREEMPTIBLE"):
        raise ValueError("has an option of its own: set spot = True")
    if kind + colon not in _CONSUMPTIONS:
        raise ValueError(f"is unknown: use {', '.join(_CONSUMPTIONS[:3])}, RESERVATION:NAME or RESERVATION_BOUND:NAME")
    if colon and not _RESERVATION.fullmatch(reservation):
        raise ValueError(
            f"names no reservation: write {kind}:NAME or {kind}:projects/PROJECT/zones/ZONE/reservations/NAME"
        )
    return name


def reservation_zone(value: str) -> str:
    """The zone that a reservation's full name has; "" where it has none."""
    found = re.search(r"zones/([a-z0-9-]+)/reservations/", value)
    return found[1] if found else ""


def has_built_in_gpus(machine: str) -> bool:
    """Whether machines of this type come with their GPUs."""
    return machine.startswith(BUILT_IN_GPU_FAMILIES)


def built_in_gpus(machine: str) -> int | None:
    """How many GPUs a machine of this type comes with; None if its name does not say."""
    if found := _GPUS_IN_NAME.search(machine):
        return int(found[1])
    if machine.startswith("g2-"):
        cpus = machine.rsplit("-", 1)[-1]
        return G2_GPUS.get(int(cpus)) if cpus.isdecimal() else None
    return None


def gpus_per_machine(machine: str, accelerators: int) -> int:
    """How many GPUs one machine has, built in or attached; 0 for none, or if its type's name does not say."""
    return built_in_gpus(machine) or 0 if has_built_in_gpus(machine) else accelerators


def gpu_problems(machine: str, gpu_type: str, gpu_count: int | None) -> list[str]:
    """What is wrong with asking for these GPUs on this machine; `gpu_count` None is "not given"."""
    if not has_built_in_gpus(machine):
        return _attached_gpu_problems(machine, gpu_type, gpu_count)
    if gpu_type:
        return [
            f"gpu_type = {gpu_type!r} contradicts machine_type = {machine!r}, whose GPUs are built in:"
            " leave gpu_type and gpu_count out"
        ]
    built_in = built_in_gpus(machine)
    if gpu_count is not None and built_in is not None and gpu_count != built_in:
        return [f"gpu_count = {gpu_count} contradicts machine_type = {machine!r}, which has {built_in}: leave it out"]
    return []


def _attached_gpu_problems(machine: str, gpu_type: str, gpu_count: int | None) -> list[str]:
    if not gpu_type:
        if gpu_count:
            return [f"gpu_count = {gpu_count!r} needs gpu_type: name the accelerator, such as nvidia-tesla-t4"]
        return []
    model = gpu_type.removesuffix("-vws")
    if model in BUILT_IN_GPUS:
        return [
            f"gpu_type = {gpu_type!r} comes with its machine: leave it out, and set machine_type, such as"
            f" {BUILT_IN_GPUS[model]}"
        ]
    if gpu_count == 0:
        return [f"gpu_count = 0 contradicts gpu_type = {gpu_type!r}: leave one of the two out"]
    found = []
    counts = attached_gpu_counts(gpu_type)
    if counts and gpu_count is not None and gpu_count not in counts:
        found.append(
            f"gpu_count = {gpu_count} is not a number of {gpu_type} that a machine may have: use one of {counts}"
        )
    if machine and not machine.startswith(("n1-", "custom-")):
        found.append(
            f"gpu_type = {gpu_type!r} cannot be attached to machine_type = {machine!r}: only N1 machines"
            " (n1-standard-4, ...) take accelerators; others bring theirs (g2-, a2-, a3-)"
        )
    return found


def disk_problems(machine: str, boot_disk_type: str, local_ssd_gb: int) -> list[str]:
    """What is wrong with asking for these disks on this machine."""
    found = boot_disk_problems(machine, boot_disk_type)
    if not local_ssd_gb:
        return found
    if not machine:
        found.append(
            f"local_ssd_gb = {local_ssd_gb} needs machine_type, since not every machine that Batch may choose takes"
            " local SSDs: name one, such as n2-standard-4"
        )
    elif machine.startswith(WITHOUT_LOCAL_SSD) or machine == "g1-small":
        found.append(
            f"local_ssd_gb = {local_ssd_gb} cannot be had with machine_type = {machine!r}, whose family has no local"
            " SSDs: use another one, such as n2-standard-4"
        )
    elif machine.startswith(LOCAL_SSD_TYPES_ONLY) and "-lssd" not in machine:
        found.append(
            f"local_ssd_gb = {local_ssd_gb} cannot be had with machine_type = {machine!r}: in its family only the"
            f" types that end in -lssd have local SSDs, such as {local_ssd_type(machine)}"
        )
    else:
        found += local_ssd_problems(machine, local_ssd_gb)
    return found


def provisioning_problems(machine: str, provisioning: str, spot: bool, time_limit: float, grace: float) -> list[str]:
    """What is wrong with getting machines this way."""
    found = []
    if spot and provisioning not in ("", "STANDARD", "NO_RESERVATION"):
        found.append(f"provisioning = {provisioning!r} contradicts spot = True: leave one of the two out")
    if provisioning == "FLEX_START" and time_limit + grace > MAX_FLEX_START_SECONDS:
        found.append(
            f"time_limit = {time_limit:g} is too long for provisioning = 'FLEX_START', whose machines run seven days"
            f" at most: use {MAX_FLEX_START_SECONDS - grace:g} or less"
        )
    if provisioning.startswith("RESERVATION") and not machine:
        # https://cloud.google.com/batch/docs/create-run-job-reservation: job and reservation match exactly
        found.append(f"provisioning = {provisioning!r} needs machine_type: name the reservation's own")
    return found
