"""Why electrons failed, with the last lines of their output, from what Covalent's server keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ...cloud.timed_calls import call_all_within
from ...covalent_api.server_client import DispatchRecord, ElectronRecord, ServerClient
from ..known_dispatch import READS_AT_ONCE
from .covalent_facts import shown_electrons
from .model import ElectronFailure
from .traced_electrons import TracedElectrons

LINES = 20
# Of a file so much of the end is kept, and none is read that is larger; all together is waited for so long
TAIL_BYTES, MOST_BYTES, SECONDS = 8192, 256 * 2**20, 15.0
# Of more electrons that failed no lines are read
MOST_ELECTRONS = 30
FILES = ("error", "stderr", "stdout")
TRACEBACK = "Traceback (most recent call last):\n"


def read_failures(
    server: ServerClient, record: DispatchRecord, traced: TracedElectrons
) -> tuple[dict[int, ElectronFailure], tuple[str, ...]]:
    """Return why electrons failed, by node, and what could not be read, in sentences."""
    failed = {node: each for node, each in shown_electrons(record).items() if each.status == "FAILED"}
    wanted = [
        (node, name, electron.files[name].path)
        for node, electron in list(failed.items())[:MOST_ELECTRONS]
        for name in FILES
        if name in electron.files and 0 < electron.files[name].size <= MOST_BYTES
    ]
    reads = [partial(_tail, server, path) for _, _, path in wanted]
    texts: dict[int, dict[str, str]] = {node: {} for node in failed}
    is_short = False
    for (node, name, _), found in zip(wanted, call_all_within(SECONDS, reads, READS_AT_ONCE), strict=True):
        texts[node][name] = found or ""
        is_short = is_short or found is None
    missing = []
    if len(failed) > MOST_ELECTRONS:
        missing.append(f"Of {len(failed) - MOST_ELECTRONS} more electrons that failed the last lines are not here.")
    if is_short:
        missing.append("Covalent's server did not give the output of all electrons that failed.")
    return {node: failure_of(failed[node], texts[node], node, traced) for node in failed}, tuple(missing)


def _tail(server: ServerClient, path: str) -> str | None:
    try:
        return server.get_tail(path, TAIL_BYTES, SECONDS)
    except OSError:
        return None


def failure_of(
    electron: ElectronRecord, texts: Mapping[str, str], node: int, traced: TracedElectrons
) -> ElectronFailure:
    """Return why an electron failed, by its trace, else by the texts of its FILES."""
    own = traced.electrons.get(node)
    error, message = (own.error, own.message) if own is not None else ("", "")
    told = texts.get("error", "").strip()
    if not message and not error:
        error, message = split_error(told or texts.get("stderr", ""))
    lines = last_lines(texts.get("stderr", "") or told)
    # Of what was killed, or printed nothing there, standard error is the message alone
    if all(line in message for line in lines.split("\n")):
        lines = last_lines(texts.get("stdout", ""))
    return ElectronFailure(error, message, lines)


def split_error(told: str) -> tuple[str, str]:
    """Return class and message of the last error in a text: what follows its traceback, else the last line."""
    _, is_traceback, rest = told.strip().rpartition(TRACEBACK)
    lines = [line for line in rest.strip("\n").split("\n") if not line.startswith((" ", "\t"))] or [""]
    line = lines[0] if is_traceback else lines[-1]
    name, _, message = line.partition(": ")
    is_class = name.replace(".", "").isidentifier() and (bool(message) or bool(is_traceback))
    return (name.rsplit(".", 1)[-1], message) if is_class else ("", line)


def last_lines(text: str) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.strip("\n").split("\n")[-LINES:])
