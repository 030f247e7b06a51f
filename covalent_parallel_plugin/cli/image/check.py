"""Compare an image with this environment: whether it fits, and the report's JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ...cloud.registry.client import ARCHITECTURE, OS
from .cloudpickle_versions import are_tried, disagreement
from .inspect_image import InspectedImage
from .versions import Versions

OK, INFO, WARNING, ERROR = "ok", "info", "warning", "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was compared: its level, its name, a sentence, and for warnings and errors what to do."""

    level: str
    what: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class ImageFindings:
    """What was found about one image; `fits` is False where electrons could not run in it."""

    seen: InspectedImage
    here: Versions
    findings: tuple[Finding, ...]

    @property
    def fits(self) -> bool:
        """Whether nothing is an error."""
        return all(finding.level != ERROR for finding in self.findings)

    def record(self) -> dict[str, object]:
        """Everything as JSON-able values."""
        config = self.seen.config
        return {
            "image": config.uri,
            "fits": self.fits,
            "source": self.seen.source,
            "digest": config.digest,
            "platform": f"{config.os}/{config.architecture}",
            "user": config.user or "root",
            "size_bytes": config.size_bytes,
            "inside": asdict(self.seen.inside),
            "here": asdict(self.here),
            "findings": [asdict(finding) for finding in self.findings],
        }


def compare(seen: InspectedImage, here: Versions) -> ImageFindings:
    """Compare what is inside an image with this environment.

    The rules are the runner's own: it refuses a call that another minor version of Python pickled, and starts from the
    installed package only in this very version, with the image's own cloudpickle; sublattices and file transfers need
    Covalent.
    """
    findings = (
        _architecture(seen),
        _python(seen, here),
        _covalent(seen.inside.covalent, here),
        _cloudpickle(seen.inside, here),
        _plugin(seen.inside.plugin, here),
        _user(seen),
    )
    return ImageFindings(seen, here, findings)


def _architecture(seen: InspectedImage) -> Finding:
    found = f"{seen.config.os}/{seen.config.architecture}"
    if (seen.config.os, seen.config.architecture) == (OS, ARCHITECTURE):
        return Finding(OK, "platform", found)
    rebuild = f"build it with --platform {OS}/{ARCHITECTURE} (`covalent-parallel image build` does)"
    return Finding(ERROR, "platform", f"{found}, and Batch's machines are {OS}/{ARCHITECTURE}", rebuild)


def _python(seen: InspectedImage, here: Versions) -> Finding:
    inside = seen.inside
    rebuild = "build one with `covalent-parallel image build`, or dispatch from a Python like the image's"
    if inside.python is None and seen.trouble:
        return Finding(ERROR, "python", f"its python3 does not run: {seen.trouble}", rebuild)
    if inside.python is None:
        pull = "pull the image with docker or podman and check again: then its python3 is asked"
        return Finding(WARNING, "python", "not known: neither a label nor PYTHON_VERSION names it", pull)
    if inside.python_minor != here.python_minor:
        text = f"{inside.python}, and this environment has {here.python}: the runner refuses its calls"
        return Finding(ERROR, "python", text, rebuild)
    return Finding(OK, "python", inside.python)


def _covalent(inside: str | None, here: Versions) -> Finding:
    effect = "plain electrons run, with DepsPip, DepsBash and DepsCall; sublattices and file transfers are refused"
    install = f"have `pip install covalent=={here.covalent}` in the image where electrons use them"
    if inside is None:
        return Finding(INFO, "covalent", f"not known; without it {effect}")
    if not inside:
        return Finding(WARNING, "covalent", f"not in the image: {effect}", install)
    if inside != here.covalent:
        text = f"{inside}, and this environment has {here.covalent}: sublattices and file transfers may not load there"
        return Finding(WARNING, "covalent", text, install)
    return Finding(OK, "covalent", inside)


def _cloudpickle(inside: Versions, here: Versions) -> Finding:
    install = f"have `pip install cloudpickle=={here.cloudpickle}` in the image"
    if inside.cloudpickle is None:
        return Finding(INFO, "cloudpickle", "not known; where the image has none, it comes with the runner")
    if not inside.cloudpickle:
        if inside.plugin and inside.plugin == here.plugin:
            text = "not in the image, though this package is: each task fetches the runner, which brings one"
            return Finding(WARNING, "cloudpickle", text, install)
        return Finding(OK, "cloudpickle", "not in the image: it comes with the runner")
    if inside.cloudpickle == here.cloudpickle or not here.cloudpickle:
        return Finding(OK, "cloudpickle", inside.cloudpickle)
    both = f"{inside.cloudpickle}, and this environment has {here.cloudpickle}"
    if inside.plugin is not None and inside.plugin != here.plugin:
        # runner/bootstrap.py: only the installed runner of this very version takes the image's cloudpickle
        return Finding(OK, "cloudpickle", f"{both}, which comes with the runner and is used")
    if problem := disagreement(inside.cloudpickle, here.cloudpickle):
        return Finding(ERROR, "cloudpickle", f"{both}: {problem}", install)
    if not are_tried(inside.cloudpickle, here.cloudpickle):
        return Finding(WARNING, "cloudpickle", f"{both}: whether they load each other's pickles is not known", install)
    return Finding(OK, "cloudpickle", f"{both}: they load each other's pickles")


def _plugin(inside: str | None, here: Versions) -> Finding:
    effect = "each task fetches the runner from the bucket, one request more"
    install = f"have `pip install --no-deps covalent-parallel-plugin=={here.plugin} cloudpickle` in the image"
    name = "covalent-parallel-plugin"
    if inside is None:
        return Finding(INFO, name, f"not known; without it {effect}")
    if not inside:
        return Finding(INFO, name, f"not in the image: {effect}", install)
    if inside != here.plugin:
        return Finding(WARNING, name, f"{inside}, and this environment has {here.plugin}: {effect}", install)
    return Finding(OK, name, inside)


def _user(seen: InspectedImage) -> Finding:
    user = seen.config.user
    return Finding(INFO, "user", "root" if seen.config.is_root else user)
