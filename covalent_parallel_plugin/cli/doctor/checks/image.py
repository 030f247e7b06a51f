"""Check the image: reachable, for Batch's machines, and with versions that fit."""

from __future__ import annotations

import sys

from ....cloud.registry.client import read_image_config
from ....cloud.registry.image_reference import parse_reference
from ....containers.engine import names_of
from ....errors import CloudError, MissingResourceError, PermissionDeniedError
from ....settings.container_rules import stock_image
from ....sweep.batch.sweep_job import helper_image
from ...image.check import ERROR, OK, WARNING, compare
from ...image.inspect_image import InspectedImage, declared_versions
from ...image.versions import versions_here
from ..check_runner import Facts, check
from ..results import CheckResult, error, ok, skipped, warning
from ..setup import Setup

REACHABLE = "image.reachable"
BUILD = "covalent-parallel image build --push --tag"
IMAGE_SECONDS = 45.0
REGISTRY_SECONDS = 8.0


@check(
    REACHABLE,
    "the registry has the image of `container_image_uri` (empty: the stock image of this Python); the emulator asks"
    " none",
    "name one that is there, or build it: `covalent-parallel image build`",
    options=("container_image_uri",),
    seconds=IMAGE_SECONDS,
)
def reachable(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are what is known of the image.

    The emulator runs tasks as processes, or in images that an engine of this machine has.
    """
    uri = setup.settings.container_image_uri or stock_image(f"{sys.version_info[0]}.{sys.version_info[1]}")
    try:
        reference = parse_reference(uri)
    except ValueError as problem:
        return error(str(problem), "set container_image_uri")
    if setup.emulator_addresses and not (reference.is_local and ":" in reference.host):
        return skipped(f"the emulator asks no registry for {uri}")
    try:
        config = read_image_config(uri, REGISTRY_SECONDS)
    except (MissingResourceError, PermissionDeniedError) as problem:
        if isinstance(problem, PermissionDeniedError) and not reference.is_google:
            # A private registry may let the machines in and not this one.
            return warning(str(problem), "see that registry_username and registry_password name a user who may pull it")
        own = uri if len(names_of(uri)) == 1 else "NAME:TAG"
        return error(str(problem), f"set container_image_uri to an image that is there, or: {BUILD} {own}")
    except CloudError as problem:
        return warning(str(problem), "see that the name is right; the machines may reach what this one cannot")
    return ok(
        f"{uri}, {config.size_bytes / 1e6:.0f} MB", facts=InspectedImage(config, declared_versions(config), "registry")
    )


@check(
    "image.helper",
    "the registry has the image that makes machines ready for a sweep's tasks: the stock image of this Python",
    "see that this machine reaches mirror.gcr.io",
    seconds=IMAGE_SECONDS,
)
def helper(setup: Setup, facts: Facts) -> CheckResult:
    uri = helper_image()
    if setup.emulator_addresses:
        return ok(f"not asked for: the emulator takes {uri} from an engine of this machine")
    try:
        config = read_image_config(uri, REGISTRY_SECONDS)
    except CloudError as problem:
        return warning(f"{problem}: sweeps on Batch need it", "see that the machines reach mirror.gcr.io")
    return ok(f"{uri}, {config.size_bytes / 1e6:.0f} MB")


@check(
    "image.versions",
    "the image is for linux/amd64 and has this Python's minor version, as it says itself, and this package's and"
    " Covalent's versions where it has them; where its own cloudpickle is used, it and this environment's load each"
    " other's pickles",
    "build it anew: `covalent-parallel image build`",
    facts_of=(REACHABLE,),
)
def image_versions(setup: Setup, facts: Facts) -> CheckResult:
    """Do as `covalent-parallel image check`, with one result."""
    findings = compare(facts[REACHABLE], versions_here()).findings
    for level, result in ((ERROR, error), (WARNING, warning)):
        bad = [finding for finding in findings if finding.level == level]
        if bad:
            return result(
                "; ".join(f"{finding.what}: {finding.text}" for finding in bad),
                "; ".join(finding.remedy for finding in bad),
            )
    return ok(", ".join(f"{finding.what} {finding.text}" for finding in findings if finding.level == OK))
