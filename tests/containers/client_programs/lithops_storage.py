"""Use Lithops' storage backend for Google as Lithops does; prints one JSON object: what was done -> what came of it."""

import io
import json
import tempfile
from pathlib import Path

from lithops.storage import Storage
from lithops.storage.utils import StorageNoSuchKeyError

config = {
    "lithops": {"storage": "gcp_storage"},
    "gcp": {"region": "us-east1"},
    "gcp_storage": {"storage_bucket": "jobs"},
}
storage = Storage(config=config)
done = {}

storage.create_bucket("jobs")
storage.create_bucket("jobs")
storage.put_object("jobs", "a/text", "text")
storage.put_object("jobs", "a/bytes", b"0123456789")
storage.put_object("jobs", "a/file", io.BytesIO(b"file"))
done["whole"] = storage.get_object("jobs", "a/bytes").decode()
done["range"] = storage.get_object("jobs", "a/bytes", extra_get_args={"Range": "bytes=2-4"}).decode()
done["stream"] = storage.get_object("jobs", "a/file", stream=True).read().decode()
head = storage.head_object("jobs", "a/text")
done["head"] = [head["content-type"], head["content-length"]]
done["head of the bucket"] = storage.head_bucket("jobs")["ResponseMetadata"]["HTTPStatusCode"]
done["list"] = [[entry["Key"], entry["Size"]] for entry in storage.list_objects("jobs", prefix="a/")]
with tempfile.TemporaryDirectory() as text:
    path = Path(text, "up")
    path.write_text("uploaded")
    done["upload"] = storage.upload_file(str(path), "jobs", "b/up")
    done["download"] = storage.download_file("jobs", "b/up", str(path.with_name("down")))
    done["downloaded"] = path.with_name("down").read_text()
storage.delete_object("jobs", "b/up")
storage.delete_objects("jobs", ["a/text", "a/file"])
done["left"] = storage.list_keys("jobs")
missing = {}
for name, method in (("get", storage.get_object), ("head", storage.head_object), ("delete", storage.delete_object)):
    try:
        method("jobs", "none")
    except StorageNoSuchKeyError:
        missing[name] = "no such key"
done["missing"] = missing
print(json.dumps(done))
