"""The command of every job: find the runner, in the image or in the bucket, and start it.

Its source, without this docstring and comments, is what `python3 -c` gets, followed by this package's version, the
SHA-256 of the runner's archive and, if that is not the electron's, the module whose `main` is to run. It reads on any
Python 3, so that an image with an old one can say so.
"""

import os
import sys


def installed(version: str) -> bool:
    try:
        from importlib.util import find_spec

        import covalent_parallel_plugin

        # Without cloudpickle beside it, it is the archive that has one.
        return covalent_parallel_plugin.__version__ == version and find_spec("cloudpickle") is not None
    except Exception:
        # A broken install in the image is no reason to fail: the archive does not need it.
        return False


def download(name: str) -> "tuple[int, bytes]":
    import http.client
    import json
    from urllib.parse import quote, urlsplit

    host = os.environ.get("STORAGE_EMULATOR_HOST")
    headers = {}
    if host:
        place = urlsplit(host if "://" in host else "http://" + host)
        kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        connection = kind(place.netloc, timeout=60)
    else:
        metadata = http.client.HTTPConnection("metadata.google.internal", timeout=10)
        metadata.request(
            "GET",
            "/computeMetadata/v1/instance/service-accounts/default/token",
            headers={"Metadata-Flavor": "Google"},
        )
        token = json.loads(metadata.getresponse().read().decode())["access_token"]
        headers["Authorization"] = "Bearer " + token
        connection = http.client.HTTPSConnection("storage.googleapis.com", timeout=60)
    bucket = quote(os.environ["COVALENT_PARALLEL_BUCKET"], safe="")
    connection.request(
        "GET", "/download/storage/v1/b/%s/o/%s?alt=media" % (bucket, quote(name, safe="")), headers=headers
    )
    answer = connection.getresponse()
    # Far more than the archive has: what else lies there is not to fill the memory.
    data = answer.read(2**25)
    connection.close()
    return answer.status, data


def fetched(name: str, digest: str, patience: float = 120, most_seconds: float = 30) -> bytes:
    import hashlib
    import signal
    import time

    def give_up(number: int, frame: object) -> None:
        raise OSError("not here within %g seconds" % most_seconds)

    signal.signal(signal.SIGALRM, give_up)
    deadline = time.monotonic() + patience
    refusals = 0
    pause = 0.5
    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, most_seconds)
            try:
                status, data = download(name)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if status == 200 and hashlib.sha256(data).hexdigest() == digest:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                return data
            problem = "HTTP status %d: %s" % (status, data[:500].decode("utf-8", "replace"))
            if status == 200:
                problem = "it is not the one this job was made for"
        except Exception as error:
            # Whatever went wrong may pass: the last try's error is reported.
            status, problem = 0, "%s: %s" % (type(error).__name__, error)
        # A refusal is believed when it was heard four times.
        refusals += 0 < status < 500 and status not in (408, 429)
        if refusals == 4 or time.monotonic() + pause > deadline:
            break
        time.sleep(pause)
        pause = min(2 * pause, 16)
    place = "gs://%s/%s" % (os.environ["COVALENT_PARALLEL_BUCKET"], name)
    sys.stderr.write("covalent-parallel: cannot read the runner %s: %s\n" % (place, problem))
    sys.exit({200: 76, 401: 69, 403: 69, 404: 72}.get(status, 68))


def find_temporary_folder() -> None:
    import tempfile

    # A container whose root is read-only may have shared memory as the only place to write to.
    for folder in ("", "/dev/shm"):
        if folder:
            os.environ["TMPDIR"] = folder
        try:
            tempfile.gettempdir()
            return
        except OSError:
            pass
    sys.stderr.write(
        "covalent-parallel: nothing can be written in this container: set container_options to '--tmpfs /tmp:exec'\n"
    )
    sys.exit(71)


def private_folder() -> str:
    import tempfile

    # One folder per user and machine, so that the tasks that share a machine fetch the runner once. It is used only
    # if nobody else can write there. Programs clean their temporary folder: it is out of that, where there is a choice.
    temporary = tempfile.gettempdir()
    shared = os.environ.get("COVALENT_PARALLEL_PLACE")
    for place in [shared] if shared else [os.path.expanduser("~/.cache"), "/var/tmp", temporary]:
        if place != temporary and (os.path.realpath(place) + "/").startswith(os.path.realpath(temporary) + "/"):
            continue
        folder = os.path.join(place, "covalent-parallel-%d" % os.getuid())
        try:
            os.makedirs(folder, 0o700)
        except OSError:
            pass
        try:
            status = os.lstat(folder)
            if status.st_uid == os.getuid() and status.st_mode & 0o170777 == 0o040700 and os.access(folder, os.W_OK):
                return folder
        except OSError:
            pass
    return tempfile.mkdtemp()


def write(path: str, data: bytes) -> None:
    import tempfile

    try:
        # Containers that share the folder may all have the same process number.
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        sys.stderr.write(
            "covalent-parallel: the runner cannot be written: %s: raise boot_disk_gb, or the size of its --tmpfs\n"
            % error
        )
        sys.exit(71)


def archive(folder: str, digest: str) -> str:
    import hashlib

    path = os.path.join(folder, digest + ".zip")
    try:
        with open(path, "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() == digest:
                return path
    except OSError:
        pass
    write(path, fetched(os.environ["COVALENT_PARALLEL_RUNNER"], digest))
    return path


def start(version: str, digest: str, module: str = "") -> None:
    if sys.version_info < (3, 7):
        sys.stderr.write("covalent-parallel: the image's Python %s is too old\n" % sys.version.split()[0])
        sys.exit(78)
    # The working folder, whose files would replace modules of the standard library: the electron gets it back.
    sys.path[:] = [entry for entry in sys.path if entry]
    # So would the files of PYTHONPATH's folders: they come last until the electron begins.
    named = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path.sort(key=named.__contains__)
    import signal

    # The first process of a container does not hear it otherwise; until the electron runs there is nothing to report.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    find_temporary_folder()
    package = "covalent_parallel_plugin"
    os.environ["COVALENT_PARALLEL_PLACE"] = folder = private_folder()
    # What a machine is prepared with comes out of the archive.
    if module or not installed(version):
        # First: the call was pickled by the cloudpickle that travels along, and the image may have an older one.
        sys.path.insert(0, archive(folder, digest))
        package = "covalent_parallel_runner"
    import importlib

    sys.exit(importlib.import_module(package + "." + (module or "runner.task_main")).main())


if __name__ == "__main__":
    start(*sys.argv[1:4])
