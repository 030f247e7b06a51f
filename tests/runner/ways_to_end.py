# ruff: noqa: SIM115  # an open file is what they leave
"""Ways in which a function leaves work to the end of its program; each writes into the folder that it is given."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

kept: Any = None


def open_file_in_a_global(folder: str) -> None:
    global kept
    kept = open(folder + "/rows.txt", "w")
    kept.write("a row")


def open_file_in_a_module(folder: str) -> None:
    import math

    math.kept = open(folder + "/rows.txt", "w")  # type: ignore[attr-defined]
    math.kept.write("a row")  # type: ignore[attr-defined]


def open_file_in_a_cycle(folder: str) -> None:
    cycle: list[Any] = [open(folder + "/rows.txt", "w")]
    cycle.append(cycle)
    cycle[0].write("a row")


def open_file_of_a_class(folder: str) -> None:
    class Log:
        file = open(folder + "/rows.txt", "w")

    Log.file.write("a row")


def standard_output_in_a_file(folder: str) -> None:
    sys.stdout = open(folder + "/printed.txt", "w")
    print("a line", end="")


def file_of_c_code(folder: str) -> None:
    import ctypes

    c = ctypes.CDLL(None)
    c.fopen.restype = ctypes.c_void_p
    c.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    c.fputs(b"from C", c.fopen(os.fsencode(folder + "/c.txt"), b"w"))


def exit_handlers(folder: str) -> None:
    import atexit

    def note(text: str) -> None:
        with open(folder + "/order.txt", "a") as file:
            file.write(text + "\n")

    atexit.register(note, "registered first")
    atexit.register(note, "registered last")


def exit_handler_that_raises(folder: str) -> None:
    import atexit

    atexit.register(lambda: open(folder + "/after.txt", "w").write("called all the same"))
    atexit.register(lambda: 1 / 0)


def exit_stack(folder: str) -> None:
    import atexit
    import contextlib

    stack = contextlib.ExitStack()
    stack.enter_context(open(folder + "/stacked.txt", "w")).write("on the stack")
    atexit.register(stack.close)


def finalizer(folder: str) -> None:
    import weakref

    global kept
    kept = type("Kept", (), {})()
    weakref.finalize(kept, lambda: open(folder + "/finalized.txt", "w").write("finalized"))


def object_with_a_destructor(folder: str) -> None:
    class Table:
        # Names may be gone by then.
        def __del__(self, open: Any = open) -> None:
            with open(folder + "/deleted.txt", "w") as file:
                file.write("saved")

    global kept
    kept = Table()


def suspended_generator(folder: str) -> None:
    def rows() -> Any:
        with open(folder + "/rows.txt", "w") as file:
            file.write("begun")
            try:
                yield
            finally:
                file.write(" and closed")

    global kept
    kept = rows()
    next(kept)


def logging_handlers(folder: str) -> None:
    import logging
    import logging.handlers

    logger = logging.getLogger("left")
    logger.addHandler(logging.handlers.MemoryHandler(100, target=logging.FileHandler(folder + "/log.txt")))
    logger.error("held back")


def thread(folder: str) -> None:
    import threading

    def work() -> None:
        time.sleep(0.5)
        with open(folder + "/thread.txt", "w") as file:
            file.write("done")

    threading.Thread(target=work).start()


def thread_of_a_thread(folder: str) -> None:
    import threading

    def work(depth: int) -> None:
        time.sleep(0.2)
        if depth:
            threading.Thread(target=work, args=(depth - 1,)).start()
        else:
            with open(folder + "/deep.txt", "w") as file:
                file.write("done")

    threading.Thread(target=work, args=(2,)).start()


def timer(folder: str) -> None:
    import threading

    threading.Timer(0.5, lambda: open(folder + "/timer.txt", "w").write("rang")).start()


def daemon_thread(folder: str) -> None:
    import threading

    def work() -> None:
        time.sleep(60)
        open(folder + "/daemon.txt", "w").close()

    threading.Thread(target=work, daemon=True).start()


def thread_pool(folder: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> None:
        time.sleep(0.2)
        with open(f"{folder}/{number}.txt", "w") as file:
            file.write("done")

    pool = ThreadPoolExecutor(1)
    for number in range(3):
        pool.submit(work, number)


def process_pool(folder: str) -> None:
    from concurrent.futures import ProcessPoolExecutor

    global kept
    kept = ProcessPoolExecutor(1)
    for number in range(3):
        kept.submit(os.mkdir, f"{folder}/{number}")


def process_not_joined(folder: str) -> None:
    import multiprocessing

    def work() -> None:
        time.sleep(0.5)
        with open(folder + "/process.txt", "w") as file:
            file.write("done")

    multiprocessing.get_context("fork").Process(target=work).start()


def program_not_waited_for(folder: str) -> None:
    import subprocess

    subprocess.Popen(["sh", "-c", "sleep 0.5; echo done > program.txt"], cwd=folder)


def forked_copy_that_returns(folder: str) -> None:
    global kept
    pid = os.fork()
    kept = open(f"{folder}/{'original' if pid else 'copy'}.txt", "w")
    kept.write("left open")


def forked_copy_that_raises(folder: str) -> None:
    import atexit

    atexit.register(lambda: open(f"{folder}/{os.getpid() == original}.txt", "w").write("ended"))
    original = os.getpid()
    if os.fork() == 0:
        raise ValueError("the copy's own")


def temporary_files(folder: str) -> None:
    import tempfile

    global kept
    kept = tempfile.TemporaryDirectory(dir=folder), tempfile.NamedTemporaryFile(dir=folder)
    open(folder + "/other.txt", "w").close()


def dictionary_on_the_disk(folder: str) -> None:
    import dbm.dumb

    global kept
    kept = dbm.dumb.open(folder + "/shelf")
    kept["key"] = "value"


def exit_with_a_file_open(folder: str) -> None:
    file = open(folder + "/rows.txt", "w")
    file.write("before the exit")
    sys.exit(3)


def exception_with_a_file_open(folder: str) -> None:
    file = open(folder + "/rows.txt", "w")
    file.write("before the exception")
    raise ValueError("after it")


def exception_told_to_a_hook(folder: str) -> None:
    def note(kind: object, error: object, trace: Any) -> None:
        with open(folder + "/hook.txt", "w") as file:
            file.write(f"{error!r} {trace is not None}")

    sys.excepthook = note
    raise ValueError("uncaught")


def interrupt_told_to_a_hook(folder: str) -> None:
    sys.excepthook = lambda kind, *_: open(f"{folder}/{kind.__name__}", "w").close()
    raise KeyboardInterrupt


def exit_not_told_to_a_hook(folder: str) -> None:
    sys.excepthook = lambda kind, *_: open(f"{folder}/{kind.__name__}", "w").close()
    sys.exit("words")


def hook_that_raises(folder: str) -> None:
    import atexit

    atexit.register(os.mkdir, folder + "/atexit")
    sys.excepthook = lambda *_: 1 / 0
    raise ValueError("uncaught")


def exception_seen_by_exit_handlers(folder: str) -> None:
    import atexit

    atexit.register(lambda: open(f"{folder}/{sys.last_value}", "w").close())
    raise ValueError("uncaught")


class Told:
    """A stream that notes what it was told at last; paths and lines before it are of no account."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text
        with open(self.folder + "/told.txt", "w") as file:
            file.write(self.text.rstrip().rpartition("\n")[2])

    def flush(self) -> None:
        pass


def exception_told_to_a_stream(folder: str) -> None:
    sys.stderr = Told(folder)  # type: ignore[assignment]
    raise ValueError("uncaught")


def exit_told_to_a_stream(folder: str) -> None:
    sys.stderr = Told(folder)  # type: ignore[assignment]
    sys.exit("words")


def names_in_the_body_of_a_class(folder: str) -> None:
    class Table:
        path = os.fspath(folder) + "/deleted"

        def __del__(self, mkdir: Any = os.mkdir) -> None:
            mkdir(self.path)

    global kept
    kept = Table()
