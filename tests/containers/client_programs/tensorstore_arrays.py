"""Use TensorStore as its users do; prints one JSON object: what was done -> what came of it."""

import json

import numpy
import tensorstore

ARRAY = {"driver": "zarr", "kvstore": "gs://data/tensors/array/"}
done = {}
store = tensorstore.KvStore.open("gs://data/tensors/").result()


def keys():
    return sorted(key.decode() for key in store.list().result())


store.write("a", "one").result()
store.write("b/c", "two").result()
first = store.read("a").result()
store.write("a", "three", if_equal=first.stamp.generation).result()
done["conditional"] = store.read("a").result().value.decode()
done["stale"] = store.write("a", "four", if_equal=first.stamp.generation).result().generation.decode()
done["missing"] = store.read("none").result().state
store.write("a", None).result()
done["keys"] = keys()

layout = tensorstore.ChunkLayout(chunk_shape=[30, 30])
array = tensorstore.open(ARRAY, create=True, dtype=tensorstore.int32, shape=[100, 100], chunk_layout=layout).result()
array[...] = numpy.arange(10_000, dtype=numpy.int32).reshape(100, 100)
again = tensorstore.open(ARRAY).result()
done["array"] = [int(again.read().result().sum()), again[10:12, 5].read().result().tolist()]
store.delete_range(tensorstore.KvStore.KeyRange("array/", "array0")).result()
done["left"] = keys()
print(json.dumps(done))
