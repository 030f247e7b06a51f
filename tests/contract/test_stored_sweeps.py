"""What sweeps have in a bucket."""

from __future__ import annotations

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.sweep.batch.stored_sweeps import delete_stored, find_stored


def test_a_sweep_and_no_other_is_found_and_removed(store: ObjectStore) -> None:
    folders = ("stored-a/11", "stored-a/22", "stored-ab/11")
    for folder in folders:
        for name in ("round-0/setup", "round-0/outcomes/0000000", "content/abc"):
            store.put(f"covalent-sweeps/{folder}/{name}", b"12345")
    try:
        found = [sweep for sweep in find_stored(store) if sweep.name.startswith("stored-")]
        assert [(sweep.name, sweep.sweep_id) for sweep in found] == [tuple(folder.split("/")) for folder in folders]
        assert {(sweep.objects, sweep.size) for sweep in found} == {(3, 15)}
        assert [sweep.sweep_id for sweep in find_stored(store, "stored-a")] == ["11", "22"]
        (first,) = find_stored(store, "stored-a", "11")
        delete_stored(store, first)
        assert find_stored(store, "stored-a", "11") == []
        assert [sweep.name for sweep in find_stored(store, "stored-a") + find_stored(store, "stored-ab")] == [
            "stored-a",
            "stored-ab",
        ]
    finally:
        for sweep in find_stored(store, "stored-a") + find_stored(store, "stored-ab"):
            delete_stored(store, sweep)
