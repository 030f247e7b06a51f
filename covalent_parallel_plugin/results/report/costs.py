"""What machines cost, in words: a sum only of what has a price, what has none named, and never 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .model import MachineHours, Price, Report
from .prices import SET_COMMAND

# Of prices and machines that one sentence names
MOST_NAMED = 4


def cost_sentence(report: Report) -> str:
    """Return what a report's machines cost; "" where none was used."""
    if not any(machine.seconds > 0 for machine in report.machines):
        return ""
    known = cost_text(report.machines)
    hours = sum(machine.seconds for machine in report.machines) / 3600
    return known or f"no price for {machine_hours_text(hours)}; {SET_COMMAND} gives prices"


def cost_text(machines: Sequence[MachineHours]) -> str:
    """Return what machines cost, as far as they have prices; "" where none has one."""
    used = [machine for machine in machines if machine.seconds > 0]
    hours = sum(machine.seconds for machine in used) / 3600
    known = [(machine, machine.price) for machine in used if machine.price is not None]
    if not known:
        return ""
    dollars = sum(machine.dollars or 0.0 for machine, _ in known)
    said = f"{dollars_text(dollars)} ({prices_text([price for _, price in known])})"
    unknown = [machine for machine in used if machine.price is None]
    if not unknown:
        return said
    known_hours = sum(machine.seconds for machine, _ in known) / 3600
    of = f"for {machine_hours_text(known_hours).partition(' ')[0]} of {machine_hours_text(hours)}"
    return f"{said} {of}; no price for {_named(machine_text(machine) for machine in unknown)}"


def dollars_text(dollars: float) -> str:
    """Return an amount that is not 0, as "about $0.58"; what is below a cent as such."""
    if dollars < 0.01:
        return "less than $0.01"
    return f"about ${dollars:,.2f}" if dollars < 1000 else f"about ${dollars:,.0f}"


def prices_text(prices: Sequence[Price]) -> str:
    """Return of when and whom prices are: "prices of 2026-11-28, our contract"."""
    days = sorted({price.date for price in prices})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"prices of {when}, {_named(price.source for price in prices)}"


def machine_text(machine: MachineHours) -> str:
    """Return a machine in words: "n1-standard-4 with nvidia-tesla-t4, Spot, us-east1"."""
    gpus = f" with {gpus_text(machine.gpu_type, machine.gpu_count)}" if machine.gpu_type else ""
    kind = {True: "Spot", None: "Spot or not is not known", False: ""}[machine.spot]
    return ", ".join(
        filter(None, (f"{machine.type or 'machines of a type that is not known'}{gpus}", kind, machine.region))
    )


def gpus_text(gpu_type: str, count: int) -> str:
    """Return attached GPUs in words: "2 nvidia-tesla-t4"."""
    return f"{count} {gpu_type}" if count > 1 else gpu_type


def machine_hours_text(hours: float) -> str:
    """Return "0.25 machine-hours"."""
    return f"{hours:,.0f} machine-hours" if hours >= 1000 else f"{hours:.3g} machine-hours"


def _named(texts: Iterable[str]) -> str:
    names = list(dict.fromkeys(texts))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return "; ".join(names[:MOST_NAMED]) + more
