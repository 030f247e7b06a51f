"""Use gcsfs, fsspec and pandas as their users do; prints one JSON object: what was done -> what came of it."""

import json
import tempfile
from pathlib import Path

import fsspec
import gcsfs
import pandas

fs = gcsfs.GCSFileSystem(token="anon")
done = {}

fs.mkdir("gcsfs-files")
fs.pipe({f"gcsfs-files/a/{number}.txt": b"0123456789" * number for number in range(4)})
fs.mv("gcsfs-files/a/1.txt", "gcsfs-files/b/moved.txt")
done["mv"] = fs.find("gcsfs-files")
fs.mv("gcsfs-files/a", "gcsfs-files/c", recursive=True)
done["mv of a folder"] = fs.find("gcsfs-files")
fs.mv("gcsfs-files/c/3.txt", "data/gcsfs/3.txt")
done["mv to another bucket"] = [fs.exists("gcsfs-files/c/3.txt"), fs.size("data/gcsfs/3.txt")]
fs.cp("gcsfs-files/c", "gcsfs-files/d", recursive=True)
done["glob"] = [fs.glob("gcsfs-files/*/*.txt"), fs.glob("gcsfs-files/**/2.txt"), fs.glob("gcsfs-files/[cd]/?.txt")]
done["ranges"] = [
    fs.cat_file("data/gcsfs/3.txt", start=28).decode(),
    fs.cat_file("data/gcsfs/3.txt", start=-3).decode(),
    [piece.decode() for piece in fs.cat_ranges(["data/gcsfs/3.txt"] * 2, [0, 15], [2, 17])],
]
done["kinds"] = [fs.isdir("gcsfs-files/c"), fs.isfile("gcsfs-files/c"), fs.exists("gcsfs-files/none")]

with fs.open("gcsfs-files/large", "wb", block_size=1 << 18) as file:
    for letter in b"abcde":
        file.write(bytes([letter]) * 200_000)
with fs.open("gcsfs-files/large", "rb", block_size=1 << 18) as file:
    file.seek(199_998)
    done["seek"] = [file.read(4).decode(), file.seek(-2, 2), file.read().decode()]
# gcsfs documents "a" as "w": objects have no end to write to
with fs.open("gcsfs-files/text", "w", encoding="utf-8", metadata={"k": "v"}, content_type="text/plain") as file:
    file.write("hé\nwo\n")
with fs.open("gcsfs-files/text", "a", encoding="utf-8") as file:
    file.write("third\n")
with fs.open("gcsfs-files/text", "r", encoding="utf-8") as file:
    done["append"] = file.read()
try:
    fs.open("gcsfs-files/text", "xb").close()
except FileExistsError:
    done["exclusive"] = "refused"
fs.setxattrs("gcsfs-files/text", content_type="text/csv", new="1", k=None)
done["attributes"] = [fs.info("gcsfs-files/text")["contentType"], fs.getxattr("gcsfs-files/text", "new")]
fs.merge("gcsfs-files/merged", ["gcsfs-files/c/2.txt", "gcsfs-files/text"])
done["merge"] = fs.size("gcsfs-files/merged")
with fs.transaction, fs.open("gcsfs-files/transaction", "wb") as file:
    file.write(b"1")
    done["transaction"] = [fs.exists("gcsfs-files/transaction")]
done["transaction"].append(fs.exists("gcsfs-files/transaction"))

with tempfile.TemporaryDirectory() as text:
    folder = Path(text)
    (folder / "tree" / "below").mkdir(parents=True)
    (folder / "tree" / "a b+c%20#é").write_text("1")
    (folder / "tree" / "below" / "x").write_text("22")
    fs.put(str(folder / "tree"), "gcsfs-files/put", recursive=True)
    done["put"] = fs.find("gcsfs-files/put")
    fs.get("gcsfs-files/put", str(folder / "back"), recursive=True)
    done["get"] = {path.name: path.read_text() for path in (folder / "back").rglob("*") if path.is_file()}

frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
for name in ("frame.csv", "frame.csv.gz"):
    frame.to_csv(f"gs://gcsfs-files/{name}", index=False)
    done[name] = pandas.read_csv(f"gs://gcsfs-files/{name}").to_dict("list")
frame.to_parquet("gs://gcsfs-files/frame.parquet", partition_cols=["b"], storage_options={"token": "anon"})
read = pandas.read_parquet("gs://gcsfs-files/frame.parquet", storage_options={"token": "anon"})
done["frame.parquet"] = read["a"].to_list()
with fsspec.open("simplecache::gs://gcsfs-files/frame.csv", "rt") as file:
    done["fsspec"] = file.read()

fs.rm("gcsfs-files/text")
fs.rm(["gcsfs-files/frame.csv", "gcsfs-files/frame.csv.gz"])
fs.rm("gcsfs-files/c/*.txt")
fs.rm("gcsfs-files/put", recursive=True)
done["rm"] = fs.ls("gcsfs-files")
fs.rm("gcsfs-files", recursive=True)
done["rm of a bucket"] = "gcsfs-files/" in fs.ls("")
print(json.dumps(done))
