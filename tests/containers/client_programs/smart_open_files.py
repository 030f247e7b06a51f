"""Use smart_open as its users do; prints one JSON object: what was done -> what came of it."""

import json

from google.cloud import storage
from smart_open import open

done = {}
client = storage.Client(project="local")


def write(name, mode, data, **parameters):
    with open(f"gs://data/smart/{name}", mode, transport_params={"client": client, **parameters}) as file:
        file.write(data)


for name in ("plain", "text.gz", "text.bz2"):
    write(name, "w", "hé\nwo\n")
    with open(f"gs://data/smart/{name}", transport_params={"client": client}) as file:
        done[name] = file.readlines()
write("large", "wb", b"z" * (3 << 20) + b"end", min_part_size=256 << 10)
with open("gs://data/smart/large", "rb") as file:
    done["seek"] = [file.seek(-5, 2), file.read().decode()]
write("empty", "wb", b"")
write("described", "w", "1", blob_properties={"content_type": "text/plain", "metadata": {"a": "b"}})
blob = client.bucket("data").get_blob("smart/described")
done["described"] = [blob.content_type, blob.metadata]
try:
    with open("gs://data/smart/broken", "wb") as file:
        file.write(b"1" * (1 << 20))
        raise ZeroDivisionError
except ZeroDivisionError:
    done["broken"] = client.bucket("data").blob("smart/broken").exists()
done["names"] = sorted(blob.name for blob in client.list_blobs("data", prefix="smart/"))
print(json.dumps(done))
