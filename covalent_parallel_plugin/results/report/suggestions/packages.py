"""Packages that pip installs on each machine, which an image would have."""

from __future__ import annotations

from collections.abc import Iterator

from ..charts.words import duration
from ..model import PIP, Electron, Report, Suggestion
from .grouping import attempts_of, is_on_chain, median_seconds
from .thresholds import Thresholds
from .wording import machine_hours, titles


def packages(report: Report, limits: Thresholds) -> Iterator[Suggestion]:
    """Suggest an image with the packages that `requirements` names."""
    found = [each for each in report.electrons if _pip_seconds(each) >= limits.pip_share * each.machine_seconds]
    group = sorted((each for each in found if _pip_seconds(each) > 0), key=_pip_seconds, reverse=True)
    attempts = [attempt for attempt in attempts_of(group) if attempt.seconds(PIP) > 0]
    pip = sum(map(_pip_seconds, group))
    total = sum(electron.machine_seconds for electron in group)
    if attempts and pip >= limits.pip_machine_seconds:
        each = median_seconds(attempts, PIP)
        waited = [median_seconds(electron.attempts, PIP) for electron in group if is_on_chain(report, electron)]
        share = f"{100 * pip / total:.0f} % of the machines' time" if total else machine_hours(pip)
        yield Suggestion(
            "pip",
            f"{titles(group)} spent {share} on pip",
            f"requirements took {duration(each)} in each of {len(attempts)} attempts. An image that has them needs none"
            " of it: set container_image_uri to it, and leave requirements out.",
            f"covalent-parallel image build{_place(group[0].job)} --requirements requirements.txt --push",
            f"{machine_hours(pip)} a run",
            seconds=sum(waited),
            machine_seconds=pip,
            nodes=tuple(electron.node for electron in group),
        )


def _pip_seconds(electron: Electron) -> float:
    return sum(attempt.seconds(PIP) for attempt in electron.attempts)


def _place(job: str) -> str:
    """The options of the project and region that a job ran in."""
    parts = job.split("/")
    return f" --project {parts[1]} --region {parts[3]}" if len(parts) == 6 and parts[0] == "projects" else ""
