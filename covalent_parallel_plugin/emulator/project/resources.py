"""Describe what exists in the emulator's Google Cloud project, and what its caller may do: plain values.

By default everything is there that a well-made project has, and any project, service account and secret. What is said
explicitly narrows this: then the JSON APIs report it, and Batch refuses or fails a job that asks for something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import defaults
from .secrets import ONLY_VERSION, found_version


class ProjectResourcesError(ValueError):
    """A description of what exists cannot be read; the text names the place in it and what belongs there."""


@dataclass(frozen=True)
class Machine:
    """A machine type: its vCPUs, its memory in MB, and the zones that have it (None: all)."""

    cpus: int
    memory_mb: int
    zones: Sequence[str] | None = None


@dataclass(frozen=True)
class Accelerator:
    """An accelerator type: how many one machine may have, and the zones that have it (None: all)."""

    most: int = 8
    zones: Sequence[str] | None = None


@dataclass(frozen=True)
class ServiceAccount:
    """A service account: whether it is disabled, and whether the caller may act as it."""

    disabled: bool = False
    may_act_as: bool = True


@dataclass(frozen=True)
class Subnetwork:
    """A subnetwork of a network: its region, and whether Private Google Access is on."""

    region: str
    private_google_access: bool = False


@dataclass(frozen=True)
class Network:
    """A network with its subnetworks by name; None is one of the network's name in every region."""

    subnetworks: Mapping[str, Subnetwork] | None = None


@dataclass(frozen=True)
class BucketFacts:
    """How a bucket is set up: `lifecycle_days` None is no rule, `denied` are permissions the caller lacks on it."""

    location: str = "US"
    lifecycle_days: int | None = 7
    lifecycle_prefix: str = "covalent-parallel/"
    uniform_access: bool = True
    public_access_prevention: bool = True
    denied: Sequence[str] = ()

    @property
    def fields(self) -> dict[str, Any]:
        """The bucket's metadata in the form of Cloud Storage's JSON API."""
        is_wide = self.location.upper() in ("US", "EU", "ASIA")
        fields: dict[str, Any] = {
            "location": self.location.upper(),
            "locationType": "multi-region" if is_wide else "region",
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": self.uniform_access},
                "publicAccessPrevention": "enforced" if self.public_access_prevention else "inherited",
            },
        }
        if self.lifecycle_days is not None:
            condition = {"age": self.lifecycle_days, "matchesPrefix": [self.lifecycle_prefix]}
            fields["lifecycle"] = {"rule": [{"action": {"type": "Delete"}, "condition": condition}]}
        return fields


@dataclass(frozen=True)
class ProjectResources:
    """What exists. None means the default: any, or for places, machines and networks a list like Google's.

    Attributes:
        projects: ids of the projects.
        disabled_apis: services that are not enabled, such as "batch.googleapis.com".
        regions: zones by region.
        machine_types, accelerator_types: by name.
        service_accounts: by address.
        secrets: names of secrets of Secret Manager.
        secret_versions: their versions by name; the one version "1" where nothing is said.
        networks: by name.
        quotas: limits by region and metric, such as {"us-east1": {"CPUS": 24}}.
        buckets: how buckets are set up, by name; a bucket that is not named is well set up.
        denied: permissions that the caller lacks everywhere, such as "compute.machineTypes.get".
    """

    projects: Sequence[str] | None = None
    disabled_apis: Sequence[str] = ()
    regions: Mapping[str, Sequence[str]] | None = None
    machine_types: Mapping[str, Machine] | None = None
    accelerator_types: Mapping[str, Accelerator] | None = None
    service_accounts: Mapping[str, ServiceAccount] | None = None
    secrets: Sequence[str] | None = None
    secret_versions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    networks: Mapping[str, Network] | None = None
    quotas: Mapping[str, Mapping[str, float]] | None = None
    buckets: Mapping[str, BucketFacts] = field(default_factory=dict)
    denied: Sequence[str] = ()

    def with_secrets(self, versions: Iterable[str]) -> ProjectResources:
        """Return the same, in which also the secrets of these versions exist, projects/P/secrets/S/versions/V."""
        found: dict[str, list[str]] = {}
        for version in versions:
            name, _, number = version.partition("/secrets/")[2].partition("/versions/")
            found.setdefault(name, []).append(number)
        if not found:
            return self
        return replace(self, secrets=sorted({*found, *(self.secrets or ())}), secret_versions=found)

    def zones_of(self, region: str) -> Sequence[str] | None:
        """Return the zones of a region; None if there is no such region."""
        return (defaults.REGIONS if self.regions is None else self.regions).get(region)

    @property
    def region_names(self) -> list[str]:
        return sorted(defaults.REGIONS if self.regions is None else self.regions)

    def machine(self, name: str, zone: str) -> Machine | None:
        """Return a machine type in a zone."""
        if self.machine_types is not None:
            machine = self.machine_types.get(name)
            return machine if machine is not None and _is_in(machine.zones, zone) else None
        size = defaults.machine_size(name)
        return None if size is None else Machine(*size)

    def accelerator(self, name: str, zone: str) -> Accelerator | None:
        """Return an accelerator type in a zone."""
        if self.accelerator_types is not None:
            found = self.accelerator_types.get(name)
            return found if found is not None and _is_in(found.zones, zone) else None
        return Accelerator() if name in defaults.ACCELERATORS else None

    def service_account(self, email: str) -> ServiceAccount | None:
        """Return a service account."""
        return ServiceAccount() if self.service_accounts is None else self.service_accounts.get(email)

    def has_secret(self, name: str) -> bool:
        return self.secrets is None or name in self.secrets

    def secret_version(self, name: str, version: str) -> str | None:
        """Return the version of a secret, with `latest` understood; None if there is none."""
        if not self.has_secret(name):
            return None
        if self.secrets is None:
            return version.replace("latest", ONLY_VERSION)
        return found_version(self.secret_versions.get(name, (ONLY_VERSION,)), version)

    def network(self, name: str) -> Network | None:
        """Return a network."""
        return ({"default": Network()} if self.networks is None else self.networks).get(name)

    def subnetwork(self, name: str, region: str) -> tuple[str, Subnetwork] | None:
        """Return a subnetwork in a region, with its network's name."""
        for network_name, network in ({"default": Network()} if self.networks is None else self.networks).items():
            if network.subnetworks is None:
                if name == network_name:
                    return network_name, Subnetwork(region, private_google_access=True)
            elif name in network.subnetworks and network.subnetworks[name].region == region:
                return network_name, network.subnetworks[name]
        return None

    def quotas_of(self, region: str) -> Mapping[str, float]:
        """Return the limits of a region by metric."""
        return defaults.QUOTAS if self.quotas is None else self.quotas.get(region, {})

    def bucket(self, name: str) -> BucketFacts:
        """Return how a bucket is set up."""
        return self.buckets.get(name, BucketFacts())

    def is_denied(self, permission: str, bucket: str = "") -> bool:
        """Return whether the caller lacks a permission, everywhere or on a bucket."""
        return permission in self.denied or (bool(bucket) and permission in self.bucket(bucket).denied)


def _is_in(zones: Sequence[str] | None, zone: str) -> bool:
    return zones is None or zone in zones
