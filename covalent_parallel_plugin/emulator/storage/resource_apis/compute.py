"""Answer what Compute Engine knows of regions, machine and accelerator types, networks and subnetworks."""

from __future__ import annotations

from typing import Any

from ...project.resources import ProjectResources
from .request import ResourceRequest, not_found


def region(known: ProjectResources, asked: ResourceRequest) -> dict[str, Any]:
    project, region = asked["project"], asked["region"]
    zones = known.zones_of(region)
    if zones is None:
        raise not_found(f"projects/{project}/regions/{region}")
    base = f"https://www.googleapis.com/compute/v1/projects/{project}"
    quotas = [{"metric": metric, "limit": limit, "usage": 0.0} for metric, limit in known.quotas_of(region).items()]
    return {
        "kind": "compute#region",
        "name": region,
        "status": "UP",
        "zones": [f"{base}/zones/{zone}" for zone in zones],
        "quotas": quotas,
    }


def _check_zone(known: ProjectResources, asked: ResourceRequest) -> None:
    zone = asked["zone"]
    if zone not in (known.zones_of(zone.rpartition("-")[0]) or ()):
        raise not_found(f"projects/{asked['project']}/zones/{zone}")


def machine_type(known: ProjectResources, asked: ResourceRequest) -> dict[str, Any]:
    _check_zone(known, asked)
    machine = known.machine(asked["name"], asked["zone"])
    if machine is None:
        raise not_found(f"projects/{asked['project']}/zones/{asked['zone']}/machineTypes/{asked['name']}")
    return {
        "kind": "compute#machineType",
        "name": asked["name"],
        "zone": asked["zone"],
        "guestCpus": machine.cpus,
        "memoryMb": machine.memory_mb,
    }


def accelerator_type(known: ProjectResources, asked: ResourceRequest) -> dict[str, Any]:
    _check_zone(known, asked)
    accelerator = known.accelerator(asked["name"], asked["zone"])
    if accelerator is None:
        raise not_found(f"projects/{asked['project']}/zones/{asked['zone']}/acceleratorTypes/{asked['name']}")
    return {
        "kind": "compute#acceleratorType",
        "name": asked["name"],
        "zone": asked["zone"],
        "maximumCardsPerInstance": accelerator.most,
    }


def network(known: ProjectResources, asked: ResourceRequest) -> dict[str, Any]:
    if known.network(asked["name"]) is None:
        raise not_found(f"projects/{asked['project']}/global/networks/{asked['name']}")
    return {"kind": "compute#network", "name": asked["name"]}


def subnetwork(known: ProjectResources, asked: ResourceRequest) -> dict[str, Any]:
    project, region, name = asked["project"], asked["region"], asked["name"]
    found = known.subnetwork(name, region)
    if found is None:
        raise not_found(f"projects/{project}/regions/{region}/subnetworks/{name}")
    network, subnetwork = found
    return {
        "kind": "compute#subnetwork",
        "name": name,
        "network": f"https://www.googleapis.com/compute/v1/projects/{project}/global/networks/{network}",
        "privateIpGoogleAccess": subnetwork.private_google_access,
    }
