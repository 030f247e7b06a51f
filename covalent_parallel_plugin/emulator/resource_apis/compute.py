"""Answer what Compute Engine knows of regions, machine and accelerator types, networks and subnetworks."""

from __future__ import annotations

from typing import Any

from ..project.resources import ProjectResources
from .request import ResourceRequest, not_found


def region(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    project, region = request["project"], request["region"]
    zones = resources.zones_of(region)
    if zones is None:
        raise not_found(f"projects/{project}/regions/{region}")
    base = f"https://www.googleapis.com/compute/v1/projects/{project}"
    quotas = [{"metric": metric, "limit": limit, "usage": 0.0} for metric, limit in resources.quotas_of(region).items()]
    return {
        "kind": "compute#region",
        "name": region,
        "status": "UP",
        "zones": [f"{base}/zones/{zone}" for zone in zones],
        "quotas": quotas,
    }


def _check_zone(resources: ProjectResources, request: ResourceRequest) -> None:
    zone = request["zone"]
    if zone not in (resources.zones_of(zone.rpartition("-")[0]) or ()):
        raise not_found(f"projects/{request['project']}/zones/{zone}")


def machine_type(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    _check_zone(resources, request)
    machine = resources.machine(request["name"], request["zone"])
    if machine is None:
        raise not_found(f"projects/{request['project']}/zones/{request['zone']}/machineTypes/{request['name']}")
    return {
        "kind": "compute#machineType",
        "name": request["name"],
        "zone": request["zone"],
        "guestCpus": machine.cpus,
        "memoryMb": machine.memory_mb,
    }


def accelerator_type(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    _check_zone(resources, request)
    accelerator = resources.accelerator(request["name"], request["zone"])
    if accelerator is None:
        raise not_found(f"projects/{request['project']}/zones/{request['zone']}/acceleratorTypes/{request['name']}")
    return {
        "kind": "compute#acceleratorType",
        "name": request["name"],
        "zone": request["zone"],
        "maximumCardsPerInstance": accelerator.most,
    }


def network(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    if resources.network(request["name"]) is None:
        raise not_found(f"projects/{request['project']}/global/networks/{request['name']}")
    return {"kind": "compute#network", "name": request["name"]}


def subnetwork(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    project, region, name = request["project"], request["region"], request["name"]
    found = resources.subnetwork(name, region)
    if found is None:
        raise not_found(f"projects/{project}/regions/{region}/subnetworks/{name}")
    network, subnetwork = found
    return {
        "kind": "compute#subnetwork",
        "name": name,
        "network": f"https://www.googleapis.com/compute/v1/projects/{project}/global/networks/{network}",
        "privateIpGoogleAccess": subnetwork.private_google_access,
    }
