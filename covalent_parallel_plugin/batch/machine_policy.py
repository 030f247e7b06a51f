"""The machines that a job asks for: type, GPUs, disks, places, network, and how they are obtained."""

from __future__ import annotations

from collections.abc import Mapping

from google.cloud import batch_v1

from ..settings import Settings, disk_types, machine_rules


def machine_policy(settings: Settings, labels: Mapping[str, str]) -> batch_v1.AllocationPolicy:
    """Return the machines for a job with these settings, with these labels."""
    policy = batch_v1.AllocationPolicy.InstancePolicy(
        machine_type=settings.machine_type,
        provisioning_model=_provisioning_model(settings),
        reservation=_reservation(settings),
        boot_disk=batch_v1.AllocationPolicy.Disk(size_gb=settings.boot_disk_gb, type_=settings.boot_disk_type),
    )
    if settings.local_ssd_gb:
        ssd = batch_v1.AllocationPolicy.Disk(type_=disk_types.LOCAL_SSD, size_gb=settings.local_ssd_gb)
        policy.disks = [batch_v1.AllocationPolicy.AttachedDisk(new_disk=ssd, device_name=disk_types.LOCAL_SSD)]
    if settings.gpu_type:
        policy.accelerators = [
            batch_v1.AllocationPolicy.Accelerator(type_=settings.gpu_type, count=settings.accelerators)
        ]
    places = [f"zones/{zone}" for zone in settings.zones] or [f"regions/{settings.region}"]
    machines = batch_v1.AllocationPolicy(
        location=batch_v1.AllocationPolicy.LocationPolicy(allowed_locations=places),
        instances=[
            batch_v1.AllocationPolicy.InstancePolicyOrTemplate(
                policy=policy, install_gpu_drivers=settings.needs_gpu_drivers
            )
        ],
        labels=dict(labels),
    )
    if settings.service_account_email:
        machines.service_account = batch_v1.ServiceAccount(email=settings.service_account_email)
    if settings.network or settings.subnetwork:
        subnetwork = settings.subnetwork
        if subnetwork and "/" not in subnetwork:
            subnetwork = f"regions/{settings.region}/subnetworks/{subnetwork}"
        interface = batch_v1.AllocationPolicy.NetworkInterface(
            network=settings.network, subnetwork=subnetwork, no_external_ip_address=not settings.external_ip
        )
        machines.network = batch_v1.AllocationPolicy.NetworkPolicy(network_interfaces=[interface])
    return machines


def _provisioning_model(settings: Settings) -> int:
    models = batch_v1.AllocationPolicy.ProvisioningModel
    if settings.spot:
        return models.SPOT
    if settings.provisioning == "FLEX_START":
        return models.FLEX_START
    return models.RESERVATION_BOUND if settings.provisioning.startswith("RESERVATION_BOUND:") else models.STANDARD


def _reservation(settings: Settings) -> str:
    if settings.provisioning == machine_rules.NO_RESERVATION:
        return machine_rules.NO_RESERVATION
    return settings.provisioning.partition(":")[2]
