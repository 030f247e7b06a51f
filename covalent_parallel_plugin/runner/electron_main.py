"""The electron's process: load a call, run its hooks and its function, leave a report.

A report is written last, so that a process that dies on the way leaves none.
"""

from __future__ import annotations

import errno
import gc
import importlib
import inspect
import os
import sys
import time
import traceback
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Optional, cast

# Loaded now, for `describe` and `shown_text`: the electron may delete what it is loaded from.
from ..protocol import bounded_text  # noqa: F401
from ..protocol.bounded_exception import traceback_of
from ..protocol.cached_functions import carry_cached_functions
from ..protocol.code_files import origin_of, restore_files
from ..protocol.envelope import EXCEPTION, REFUSED, VALUE, Envelope, Json, WireError, view_part
from ..protocol.environment import ENV_PACKAGES
from ..protocol.exception_record import describe, hidden_module, missing_module_text
from ..protocol.value_text import name_of, shown_text
from .electron_files import ElectronFiles, encode_json, leave_shared
from .outcome_report import DISK_FULL, exit_status
from .pip_install import InstallFailed, add_user_site, install, let_hooks_install, make_home
from .script_module import loads_script, new_main
from .unpicklable import refusal
from .user_call import call_user, give_back, hold_signals

# The keyword under which Covalent's file transfers arrive, always as a list (covalent._workflow.depscall)
FILES_KEYWORD = "files"
# Its exceptions may be among what another electron returned
OWN_PACKAGE = "covalent_parallel_plugin"
# The report of last resort; made now, since making another one has failed
UNREPORTED = encode_json(
    {
        "outcome": EXCEPTION,
        "exception": {
            "type": "RuntimeError",
            "module": "builtins",
            "message": "how the electron ended could not be reported; its stderr shows why, and its own exception",
            "args": None,
            "traceback": "",
        },
    }
)
# Taken now: the electron may put something else in their places.
_getpid, _monotonic, _time, _write = os.getpid, time.monotonic, time.time, os.write


class CallRefusal(Exception):
    """Why the call is not run; `reason` is a word that the dispatcher's verdict knows."""

    def __init__(self, reason: str, message: str):
        self.reason = reason
        super().__init__(message)


class Hook(NamedTuple):
    """A function to call before or after the electron; `keyword` is where its value goes, "" for nowhere."""

    name: str
    keyword: str


def run(call: BinaryIO, envelope: Envelope, files: ElectronFiles) -> int:
    """Run the call, leave value, shown string and report in `files`, and return the program's exit status.

    Raises:
        BaseException: what ends a copy of this process that the electron has forked, which leaves no report.
    """
    try:
        return _reported(call, envelope, files)
    finally:
        # For the program's end
        give_back()


def _reported(call: BinaryIO, envelope: Envelope, files: ElectronFiles) -> int:
    clock = _Stopwatch()
    process = _getpid()
    status = 0
    report: Dict[str, object] = {}
    uncaught: Optional[BaseException] = None
    try:
        try:
            report = _outcome(call, envelope, files, clock)
        except CallRefusal as refusal:
            report = {"outcome": REFUSED, "reason": refusal.reason, "message": str(refusal)}
        except BaseException as error:
            if _getpid() != process:
                raise
            # SystemExit and KeyboardInterrupt of the user's are endings like any other.
            hold_signals()
            clock.end_run()
            status = exit_status(error)
            report = {"outcome": EXCEPTION, "exception": describe(error)}
            uncaught = error
        hold_signals()
        report.update(seconds=clock.laps, times=clock.times)
        files.report.write(report)
    except BaseException as error:
        if _getpid() != process:
            raise
        # SystemExit too, as from an alarm of the user's.
        hold_signals()
        status = exit_status(error)
        if not files.report.is_written:
            _write_unreported(report, error)
            files.report.write_encoded(UNREPORTED)
    if uncaught is not None:
        # What it calls is the user's.
        give_back()
        _show_uncaught(uncaught)
        # Its traceback leads back to here: in a circle files would be closed before they are written out.
        uncaught = None
    return status


def _write_unreported(report: Dict[str, object], error: BaseException) -> None:
    """Write to stderr why there is no report, and the traceback that it would have had."""
    try:
        text = traceback.format_exc() + cast(Any, report.get("exception") or describe(error))["traceback"]
    except BaseException as broken:
        text = "%s, %s" % (name_of(type(error)), name_of(type(broken)))
    _write(2, text.encode("utf-8", "backslashreplace"))


def _show_uncaught(error: BaseException) -> None:
    """Call the electron's own `sys.excepthook`, or write to its own `sys.stderr`, what it raised, as in a program.

    Python's hook on Python's stream is left out: whoever dispatched the electron has the traceback from the report.
    """
    try:
        has_own_stream = getattr(sys, "stderr", sys.__stderr__) is not sys.__stderr__
        # The class itself is asked: it may pose as another one.
        if issubclass(type(error), SystemExit):
            code = cast(SystemExit, error).code
            if has_own_stream and code is not None and not isinstance(code, int):
                print(code, file=sys.stderr)
            return
        told = type(error), error, traceback_of(error)
        sys.last_type, sys.last_value, sys.last_traceback = told
        if has_own_stream or sys.excepthook is not sys.__excepthook__:
            sys.excepthook(*told)
    except BaseException:
        sys.__excepthook__(*sys.exc_info())


def _outcome(call: BinaryIO, envelope: Envelope, files: ElectronFiles, clock: "_Stopwatch") -> Dict[str, object]:
    header, folder = envelope.header, files.folder
    try:
        import cloudpickle
    except ImportError as error:
        raise CallRefusal("no_cloudpickle", "the image has no cloudpickle, and none came along") from error
    restore_files(cloudpickle)
    # Taken now, as above
    dump, dumps, version = cloudpickle.dump, cloudpickle.dumps, str(cloudpickle.__version__)
    # What is there so far lives to the end: no look for garbage, not the one at the end either, is to go through it,
    # and at the end modules lose their names, and not what these stand for. A circle that is frozen is never freed.
    kept: List[Any] = [vars(module).copy() for module in list(sys.modules.values())]
    kept.append(kept)
    gc.freeze()
    gc.enable()
    if os.environ.get("PYTHONPATH"):
        from .python_path import restore_python_path

        hidden = restore_python_path()
        if hidden:
            raise CallRefusal("hidden_modules", hidden)
    make_home(folder)
    add_user_site()
    shared = os.environ.pop(ENV_PACKAGES, "")
    requirements = cast(List[str], header.get("requirements", []))
    if requirements:
        try:
            install(requirements, folder, shared)
        except InstallFailed as failure:
            raise CallRefusal("requirements", str(failure)) from failure
        clock.lap("requirements")
        clock.times["installed"] = _time()
        files.times.write(clock.times)
    if header.get("before") or header.get("after"):
        let_hooks_install(folder)
    if not getattr(sys.flags, "safe_path", False) and "" not in sys.path:
        # The bootstrap took it out.
        sys.path.insert(0, "")
    if "modules_sha256" in header:
        # Loaded here only: most electrons have no modules of their own.
        from .own_modules import add_modules

        add_modules(header, folder)

    def fetch(name: str) -> Any:
        try:
            return view_part(call, envelope, name)
        except WireError as error:
            raise CallRefusal("changed_call", "the call in the bucket was changed on its way: %s" % error) from error

    fetched: Dict[str, Any] = {}

    def load(name: str, loads: Callable[[Any], Any] = cloudpickle.loads) -> Any:
        data = fetched.pop(name) if name in fetched else fetch(name)
        try:
            try:
                return loads(data)
            except ModuleNotFoundError as error:
                if str(error.name).split(".")[0] != OWN_PACKAGE:
                    raise
                from .package_errors import provide_errors

                if not provide_errors():
                    raise
                return loads(data)
        except ModuleNotFoundError as error:
            raise _missing_module(error, header) from error
        except (AttributeError, TypeError) as error:
            foreign = _foreign_pickle(error, header, cloudpickle)
            if foreign is None:
                raise
            raise foreign from error

    injected: Dict[str, List[Any]] = {}
    for index, hook in enumerate(_hooks(header, "before")):
        value = _call_hook(load, "before%d" % index, folder)
        if hook.keyword:
            injected.setdefault(hook.keyword, []).append(value)
    if requirements or header.get("before"):
        # Only then: the archive's contents are read again as well.
        importlib.invalidate_caches()
    clock.lap("hooks_before")

    new_main()
    carry_cached_functions(cloudpickle)
    loads = loads_script(cloudpickle)
    function = load("function", loads)
    args = [load("arg%d" % index, loads) for index in range(cast(int, header["args"]))]
    kwargs = {name: load("kwarg:" + name, loads) for name in cast(List[str], header["kwargs"])}
    for name, values in injected.items():
        kwargs[name] = values[0] if len(values) == 1 and name != FILES_KEYWORD else values
    each = function
    if header.get("map"):
        from ..protocol.map_marker import MAPPED_FUNCTION, MAPPED_ITEMS

        # The function of a map knows the one that takes an item.
        each = getattr(function, MAPPED_FUNCTION, function)
    if _is_async(each):
        raise CallRefusal(
            "async", "it is an async function: write a plain one that calls asyncio.run(...), and returns its result"
        )
    files.origin.write(origin_of(each))
    if header.get("after"):
        # All of this before the electron can close or delete it
        from . import hooks  # noqa: F401

        fetched.update((name, fetch(name)) for name in _hook_parts(header, "after"))
    leave_shared(call)
    clock.lap("load")
    clock.times["ran_from"] = _time()
    files.times.write(clock.times)

    if files.share is not None:
        from .map_items import run_items

        items = kwargs.pop(MAPPED_ITEMS) if not args else args[0]
        report = run_items(each, items, kwargs, files.share, files, dumps)
        _run_after_hooks(header, load, folder, clock)
        return {"outcome": VALUE, "cloudpickle": version, **report}

    process = _getpid()
    value = call_user(function, *args, **kwargs)
    if _getpid() != process:
        # The electron forked, and this is the copy: only the original continues to hooks, value and report.
        raise SystemExit
    _run_after_hooks(header, load, folder, clock)

    try:
        _write_value(value, header, files, dump, dumps)
    except OSError as error:
        if error.errno not in (*DISK_FULL, errno.EFBIG):
            raise
        files.value.discard()
        why = "the container's disk is full: raise boot_disk_gb, or the size of its --tmpfs"
        if error.errno == errno.EFBIG:
            why = "it is larger than any file that the process may write (RLIMIT_FSIZE)"
        raise OSError(error.errno, "the value of %s could not be written, %s" % (header["name"], why)) from None
    clock.lap("pack")
    return {"outcome": VALUE, "cloudpickle": version, "name": name_of(value)}


def _write_value(
    value: object, header: Json, files: ElectronFiles, dump: Callable[..., None], dumps: Callable[..., bytes]
) -> None:
    file = files.value.appended()
    try:
        dump(value, file)
        file.flush()
    except BaseException as error:
        if files.terminated.is_set or (isinstance(error, OSError) and error.errno in (*DISK_FULL, errno.EFBIG)):
            raise
        raise refusal(str(header["name"]), value, error, dumps) from None
    text = shown_text(value, whole=bool(header.get("whole_string")))
    files.text.append(text.encode("utf-8", "replace"))


def _run_after_hooks(header: Json, load: Callable[..., Any], folder: str, clock: "_Stopwatch") -> None:
    clock.lap("run")
    clock.end_run()
    for index, _ in enumerate(_hooks(header, "after")):
        _call_hook(load, "after%d" % index, folder)
    clock.lap("hooks_after")


class _Stopwatch:
    """Seconds spent in each phase, by name, and when some of them began and ended, in seconds since 1970."""

    def __init__(self) -> None:
        self.laps: Dict[str, float] = {}
        self.times: Dict[str, float] = {}
        self._last = _monotonic()

    def lap(self, name: str) -> None:
        now = _monotonic()
        self.laps[name] = round(now - self._last, 6)
        self._last = now

    def end_run(self) -> None:
        """Note that the function has ended, unless it never began, or that was noted before."""
        if "ran_from" in self.times:
            self.times.setdefault("ran_to", _time())


def _hooks(header: Json, when: str) -> List[Hook]:
    return [Hook(str(name), str(keyword)) for name, keyword in cast(List[List[str]], header.get(when, []))]


def _hook_parts(header: Json, when: str) -> List[str]:
    hooks = range(len(_hooks(header, when)))
    return ["%s%d.%s" % (when, index, part) for index in hooks for part in ("function", "args", "kwargs")]


def _is_async(function: Callable[..., Any]) -> bool:
    try:
        kinds = (function, vars(type(function)).get("__call__"))
        return any(inspect.iscoroutinefunction(kind) or inspect.isasyncgenfunction(kind) for kind in kinds)
    except Exception:
        # Whatever the attributes of a callable object raise: it is called all the same.
        return False


def _call_hook(load: Callable[..., Any], part: str, folder: str) -> Any:
    # Loaded here only: most electrons have no hooks.
    from . import hooks

    hook = load(part + ".function", hooks.load)
    args, kwargs = load(part + ".args"), load(part + ".kwargs")
    with hooks.capture_pip_log(folder):
        return call_user(hook, *args, **kwargs)


def _missing_module(error: ModuleNotFoundError, header: Json) -> CallRefusal:
    name = (error.name or str(error)).split(".")[0]
    if name == "covalent":
        return CallRefusal(
            "no_covalent",
            "this electron (%s) uses Covalent itself (a file transfer, or a sublattice or the workflow's result where"
            " workflow_executor is this executor), so the image has to have Covalent %s, and it has none. Make one with"
            " `covalent-parallel image build`, or"
            " use an image with `pip install covalent==%s`, or an electron without them."
            % (header.get("name"), header.get("covalent"), header.get("covalent")),
        )
    return CallRefusal("missing_module", hidden_module(error) or missing_module_text(name))


def _foreign_pickle(error: Exception, header: Json, cloudpickle: Any) -> Optional[CallRefusal]:
    """Return why the pickle cannot be read, where another cloudpickle made it and this one lacks what it names."""
    theirs, ours = str(header.get("cloudpickle", "")), str(cloudpickle.__version__)
    if theirs in ("", ours) or "cloudpickle" not in str(error):
        return None
    return CallRefusal(
        "cloudpickle",
        "cloudpickle %s, with which the workflow was dispatched, and cloudpickle %s of the container cannot read each"
        " other's pickles (%s). Install one version where you dispatch, beside Covalent's server, and in the image if"
        " it has this package: pip install cloudpickle==%s" % (theirs, ours, error, theirs),
    )
