"""Find out what an image is and has inside: from a local engine's store, else from its registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...cloud.registry.client import read_image_config
from ...cloud.registry.image_config import ImageConfig, image_config
from ...cloud.registry.image_reference import parse_reference
from ...containers.engine import names_of
from ...errors import MissingResourceError
from .external_programs import ENGINES, Programs
from .versions import LABELS, Versions

INSPECT_SECONDS = 60.0
PROBE_SECONDS = 120.0
PYTHON_VERSION = "PYTHON_VERSION"
"""Set in the environment of Docker's official images of Python."""
# Reads on any Python 3
PROBE = """
import json, sys
def version(name):
    try:
        from importlib import metadata
        return metadata.version(name)
    except Exception:
        return ""
found = {"python": sys.version.split()[0], "covalent": version("covalent"), "cloudpickle": version("cloudpickle"),
         "plugin": version("covalent-parallel-plugin")}
print(json.dumps(found))
"""

Registry = Callable[[str], ImageConfig]


@dataclass(frozen=True)
class InspectedImage:
    """An image, what is inside, and how that is known: `source` is an engine's name, or "registry".

    `trouble` says why its Python could not be asked, where it was.
    """

    config: ImageConfig
    inside: Versions
    source: str
    trouble: str = ""


def inspect_image(
    uri: str, programs: Programs, engines: Sequence[str] = ENGINES, registry: Registry = read_image_config
) -> InspectedImage:
    """Inspect an image without changing anything; only one that an engine here has is run, and only if need be.

    Raises:
        ValueError: `uri` is not an image.
        CloudError: the registry does not answer; see `read_image_config`.
    """
    for engine in engines:
        config = next(filter(None, (config_from_engine(name, engine, programs) for name in names_of(uri))), None)
        if config is not None:
            declared = declared_versions(config)
            if None not in (declared.python, declared.covalent, declared.cloudpickle, declared.plugin):
                return InspectedImage(config, declared, engine)
            found, trouble = ask_python(config.uri, engine, programs)
            return InspectedImage(config, found or declared, engine, trouble)
    if parse_reference(uri).host == "localhost":
        raise MissingResourceError(
            f"{uri} is a name for an image on this machine, in no registry, and was not found here"
            f" ({', '.join(engines) or 'no engine'} asked): build it with `covalent-parallel image build --tag {uri}`"
        )
    config = registry(uri)
    return InspectedImage(config, declared_versions(config), "registry")


def config_from_engine(uri: str, engine: str, programs: Programs) -> ImageConfig | None:
    """Read the image's configuration from an engine's store; None if it has none, or there is no such engine."""
    if not programs.has(engine):
        return None
    ended = programs.run((engine, "image", "inspect", uri), INSPECT_SECONDS)
    if ended.status != 0:
        return None
    try:
        (found,) = json.loads(ended.output)
        return image_config(uri, "", found, int(found.get("Size") or 0))
    except (ValueError, TypeError, AttributeError):
        return None


def declared_versions(config: ImageConfig) -> Versions:
    """Return what labels say, and for Python, without a label, the variable of the official images."""
    labels = {field: config.labels.get(label) for field, label in LABELS.items()}
    return Versions(
        python=labels["python"] or config.env.get(PYTHON_VERSION),
        covalent=labels["covalent"],
        cloudpickle=labels["cloudpickle"],
        plugin=labels["plugin"],
    )


def ask_python(uri: str, engine: str, programs: Programs) -> tuple[Versions | None, str]:
    """Run the image's `python3` to ask for the versions, without a network; return also why that failed, or ""."""
    command = (engine, "run", "--rm", "--network=none", "--entrypoint=python3", uri, "-c", PROBE)
    ended = programs.run(command, PROBE_SECONDS)
    try:
        found = json.loads(ended.output.strip().splitlines()[-1]) if ended.status == 0 else {}
        return Versions(**found) if found else None, "" if found else ended.said.strip()[-500:]
    except (ValueError, LookupError, TypeError):
        return None, f"its python3 answers {ended.said.strip()[:200]!r}"
