"""Read x and y from a JSON file, and write their sum and product as JSON.

Without arguments the files are where `covalent-parallel sweep` says; with two, these are read and written. On Batch the
two may be objects of the bucket, which are reached with the standard library alone.
"""

import json
import os
import pathlib
import sys
import urllib.parse
import urllib.request

SECONDS = 60
TOKEN = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"


def calculate(config):
    """Return what is computed of a combination."""
    x, y = config["x"], config["y"]
    return {"sum": x + y, "product": x * y}


def answer(address, headers, data=None):
    """Send a request, and return the body of its answer."""
    request = urllib.request.Request(address, data, headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as found:
        return found.read()


def storage(path, data=None):
    """Read or write at Cloud Storage's JSON API: the emulator's where there is one, else Google's."""
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    headers = {"Content-Type": "application/json"}
    if host is None:
        host = "https://storage.googleapis.com"
        token = json.loads(answer(TOKEN, {"Metadata-Flavor": "Google"}))
        headers["Authorization"] = "Bearer " + token["access_token"]
    return answer(host + path, headers, data)


def read(name, bucket):
    """Return the text of a file, or of a bucket's object."""
    if bucket is None:
        return pathlib.Path(name).read_text()
    quoted = urllib.parse.quote(name, safe="")
    return storage(f"/storage/v1/b/{bucket}/o/{quoted}?alt=media").decode()


def write(name, bucket, text):
    """Write a file, or a bucket's object."""
    if bucket is None:
        pathlib.Path(name).write_text(text)
        return
    query = urllib.parse.urlencode({"uploadType": "media", "name": name})
    storage(f"/upload/storage/v1/b/{bucket}/o?{query}", text.encode())


def main(arguments):
    """Calculate from the one place to the other."""
    if arguments:
        source, target = arguments
        # On this machine (`run --local`) there is none, and the two are files
        bucket = os.environ.get("SWEEP_BUCKET")
    else:
        source, target = os.environ["SWEEP_CONFIG"], os.environ["SWEEP_FOLDER"] + "/result.json"
        bucket = None
    result = calculate(json.loads(read(source, bucket)))
    write(target, bucket, json.dumps(result))
    print(result)


if __name__ == "__main__":
    main(sys.argv[1:])
