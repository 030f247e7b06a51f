"""Use zarr and dask over gcsfs as their users do; prints one JSON object: what was done -> what came of it."""

import json

import dask.array
import numpy
import zarr

ANONYMOUS = {"token": "anon"}
done = {}

numbers = dask.array.arange(10_000, chunks=1_700).reshape(100, 100).rechunk((30, 30))
dask.array.to_zarr(numbers, "gs://data/zarr/numbers", storage_options=ANONYMOUS)
read = dask.array.from_zarr("gs://data/zarr/numbers", storage_options=ANONYMOUS)
done["dask"] = int(read.sum().compute())

group = zarr.open_group("gs://data/zarr/group", mode="w", storage_options=ANONYMOUS)
group.create_array("a", shape=(50,), chunks=(7,), dtype="i4")[:] = numpy.arange(50)
group.attrs["k"] = "v"
again = zarr.open_group("gs://data/zarr/group", mode="r", storage_options=ANONYMOUS)
done["zarr"] = [int(again["a"][10]), again.attrs["k"], sorted(again.array_keys())]
print(json.dumps(done))
