"""Use pyarrow's GcsFileSystem as its users do; prints one JSON object: what was done -> what came of it."""

import json
import os

import pyarrow
from pyarrow import dataset, fs, parquet

endpoint = os.environ["STORAGE_EMULATOR_HOST"].removeprefix("http://")
# It reads CLOUD_STORAGE_EMULATOR_ENDPOINT
gcs = fs.GcsFileSystem(anonymous=True, project_id="local")
done = {}


def write(path, data, metadata=None):
    with gcs.open_output_stream(path, metadata=metadata) as file:
        file.write(data)


def read(path):
    with gcs.open_input_stream(path) as file:
        return file.read()


def below(path):
    selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
    return [[info.path, info.type.name, info.size] for info in gcs.get_file_info(selector)]


gcs.create_dir("arrow-files/folder/below")
write("arrow-files/folder/a b+c%20#é", b"0123456789", {"Content-Type": "text/plain", "k": "v"})
write("arrow-files/folder/empty", b"")
write("arrow-files/large", b"q" * (20 << 20))
done["tree"] = below("arrow-files")
done["large"] = len(read("arrow-files/large"))
with gcs.open_input_file("arrow-files/folder/a b+c%20#é") as file:
    file.seek(3)
    done["range"] = [file.read(4).decode(), file.size(), file.read_at(2, 8).decode()]
with gcs.open_input_stream("arrow-files/folder/a b+c%20#é") as file:
    done["metadata"] = {key: file.metadata()[key].decode() for key in ("Content-Type", "metadata.k")}
done["kinds"] = [info.type.name for info in gcs.get_file_info(["arrow-files/folder", "arrow-files/none", "none"])]
gcs.copy_file("arrow-files/large", "data/arrow/large")
gcs.move("data/arrow/large", "data/arrow/moved")
done["move"] = below("data/arrow")

table = pyarrow.table({"a": list(range(1000)), "b": ["x", "y"] * 500})
parquet.write_table(table, "arrow-files/table.parquet", filesystem=gcs)
done["parquet"] = parquet.read_table("arrow-files/table.parquet", filesystem=gcs, columns=["a"]).num_rows
for _ in range(2):
    dataset.write_dataset(
        table,
        "arrow-files/set",
        format="parquet",
        partitioning=["b"],
        partitioning_flavor="hive",
        filesystem=gcs,
        existing_data_behavior="delete_matching",
    )
done["dataset"] = dataset.dataset("arrow-files/set", filesystem=gcs, partitioning="hive").to_table().num_rows
address = f"gs://anonymous@arrow-files/table.parquet?scheme=http&endpoint_override={endpoint.replace(':', '%3A')}"
done["address"] = parquet.read_table(address).num_rows

gcs.delete_file("arrow-files/large")
try:
    gcs.delete_file("arrow-files/large")
except FileNotFoundError:
    done["deleted"] = "not found"
gcs.delete_dir_contents("arrow-files/folder")
done["emptied"] = below("arrow-files/folder")
gcs.delete_dir("arrow-files")
done["bucket"] = gcs.get_file_info("arrow-files").type.name
print(json.dumps(done))
