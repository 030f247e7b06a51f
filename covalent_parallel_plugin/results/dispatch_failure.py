"""Why a dispatch has no value: the error of its first electron that failed, and the names of the others."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..covalent_api.failure_record import read_failure
from ..covalent_api.server_client import DispatchRecord, ElectronRecord, ServerClient, StoredFile
from ..errors import DispatchCancelledError, DispatchError, JobError, MapError, RemoteTraceback
from .dev_program import OWNER_VARIABLE
from .wanted_output import is_sublattice, is_users, name_of

# Sublattices in sublattices are followed so deep
DEEPEST = 20
NAMED = 8
# Of a text that an electron on another executor left
LONGEST_TEXT = 20_000
# Covalent's name for the node that puts a workflow's value together (covalent._shared_files.defaults, 0.240)
POSTPROCESS = ":postprocess:"
_MISSING = re.compile(r"^ModuleNotFoundError: No module named '([^'.]+)", re.MULTILINE)


@dataclass(frozen=True)
class EndedElectron:
    """An electron of a dispatch, or of a sublattice in it; `inside` names the sublattices, outermost first."""

    dispatch_id: str
    node: int
    record: ElectronRecord
    inside: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name and node, and where it is."""
        name = f"{name_of(self.record.name)} (node {self.node})"
        return f"{name} of sublattice {' > '.join(self.inside)}" if self.inside else name


def failure_of(server: ServerClient, dispatch_id: str, record: DispatchRecord) -> Exception:
    """Return the error of a dispatch that FAILED, as it is raised here: builtin exceptions as such.

    Raises one of UNANSWERED: Covalent's server does not report.
    """
    failed = sorted(_ended(server, dispatch_id, record, "FAILED"), key=_order)
    if not failed:
        text = _text(server, record.files.get("error")) or "Covalent keeps no reason: its server's log may have one"
        return DispatchError(f"dispatch {dispatch_id} failed:\n{text}")
    first, others = failed[0], failed[1:]
    where = f"electron {first.title} of dispatch {first.dispatch_id} failed"
    # A program of `dev` has a server that ends with it
    if OWNER_VARIABLE not in os.environ:
        where += f"; its output: covalent-parallel logs {first.dispatch_id} {first.node} --both"
    if others:
        more = f", and {len(others) - NAMED} more" if len(others) > NAMED else ""
        where += f"\nalso failed: {', '.join(other.title for other in others[:NAMED])}{more}"
    return _noted(_error_of(server, first), where)


def cancellation_of(server: ServerClient, dispatch_id: str, record: DispatchRecord) -> DispatchCancelledError:
    """Return the error of a dispatch that was CANCELLED. Raises one of UNANSWERED."""
    cancelled = [each for each in _ended(server, dispatch_id, record, "CANCELLED") if is_users(each.record.name)]
    named = ", ".join(each.title for each in cancelled[:NAMED])
    more = f" and {len(cancelled) - NAMED} more" if len(cancelled) > NAMED else ""
    which = f"; cancelled before their ends: {named}{more}" if cancelled else ""
    return DispatchCancelledError(f"dispatch {dispatch_id} was cancelled, so it has no value{which}")


def _order(ended: EndedElectron) -> tuple[float, int]:
    seconds = ended.record.ended_seconds
    return math.inf if seconds is None else seconds, ended.node


def _ended(
    server: ServerClient, dispatch_id: str, record: DispatchRecord, status: str, inside: tuple[str, ...] = ()
) -> Iterator[EndedElectron]:
    """The electrons that ended so; of a sublattice those in it, if there are any."""
    for node, electron in record.electrons.items():
        if electron.status != status:
            continue
        found = []
        if is_sublattice(electron.name) and electron.sub_dispatch_id and len(inside) < DEEPEST:
            inner = server.dispatch(electron.sub_dispatch_id)
            if inner is not None:
                names = (*inside, f"{name_of(electron.name)} (node {node})")
                found = list(_ended(server, electron.sub_dispatch_id, inner, status, names))
        yield from found or [EndedElectron(dispatch_id, int(node), electron, inside)]


def _error_of(server: ServerClient, failed: EndedElectron) -> Exception:
    output, unreadable = failed.record.files.get("output"), ""
    if output is not None and output.size:
        archive = server.get_bytes(output.path)
        try:
            error = read_failure(archive)
        except Exception as problem:
            # Such as of a class that only another version of Python has: its text is there all the same.
            error, unreadable = None, f"\n(its exception cannot be loaded here: {problem})"
        if isinstance(error, (MapError, JobError)) and error.returned:
            # Here, since it loads Google's clients
            from .map_values import stored_values

            error.values = stored_values(failed.dispatch_id, failed.node, failed.record)
        if error is not None:
            return error
    files = failed.record.files
    text = _text(server, files.get("error")) or _text(server, files.get("stderr")) or "Covalent keeps no text of it"
    executor = failed.record.executor or "an unnamed executor"
    remedy = _remedy(failed.record, text)
    return DispatchError(f"electron {failed.title} failed on the executor {executor}{unreadable}:\n{text}{remedy}")


def _remedy(electron: ElectronRecord, text: str) -> str:
    """Say what to do where a node of Covalent's own, which runs beside its server, lacks a module; "" elsewhere."""
    missing = _MISSING.search(text)
    if missing is None or electron.is_on_batch:
        return ""
    if electron.name.startswith(POSTPROCESS):
        return (
            f"\nThe workflow's value is loaded on the machine of Covalent's server, which has no module {missing[1]}:"
            ' @ct.lattice(workflow_executor="gcpbatch") returns it without loading it'
        )
    if is_sublattice(electron.name):
        return (
            f"\nThe sublattice is built on the machine of Covalent's server, which has no module {missing[1]}: import"
            " it in the bodies of the functions that need it"
        )
    return ""


def _text(server: ServerClient, file: StoredFile | None) -> str:
    text = server.get_text(file.path).strip() if file is not None and file.size else ""
    return text if len(text) <= LONGEST_TEXT else f"... {text[-LONGEST_TEXT:]}"


def _noted(error: Exception, where: str) -> Exception:
    cause = error.__cause__.text if isinstance(error.__cause__, RemoteTraceback) else ""
    cause = cause or str(getattr(error, "remote_traceback", ""))
    if hasattr(error, "add_note"):
        error.add_note(where)
    else:
        # Python 3.10 shows no notes
        cause = f"{cause.rstrip()}\n{where}".lstrip()
    if cause:
        error.__cause__ = RemoteTraceback(cause)
    return error
