"""A map of which some items failed: the values that there are, and `rerun`, which runs the others again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

CLIENT = """
import json
import sys
from pathlib import Path
import covalent as ct
from covalent_parallel_plugin import ElectronError, GCPBatchExecutor, MapError, pmap, wait

three = GCPBatchExecutor(max_parallel=3, retries=0)
ran = "RAN"

def mapped(*bad, **options):
    def train(number, offset=0):
        with open(ran, "a") as file:
            file.write(f"{number}\\n")
        print("item", number)
        if number in bad:
            raise ValueError(f"bad {number}")
        return {"square": number * number + offset}
    return pmap(executor=three, **options)(train)

@ct.electron(executor="gcpbatch")
def several(count):
    return list(range(count))

def run(function):
    Path(ran).write_text("")
    dispatch_id = ct.dispatch(ct.lattice(function))()
    told = {"id": dispatch_id}
    try:
        told["value"] = wait(dispatch_id)
    except Exception as error:
        told["error"], told["type"] = str(error), type(error).__name__
        told["values"] = getattr(error, "values", None)
        told["errors"] = {index: str(each) for index, each in getattr(error, "errors", {}).items()}
    told["ran"] = sorted(map(int, Path(ran).read_text().split()))
    nodes = ct.get_result(dispatch_id, wait=True).get_all_node_results()
    told["stdout"], told["stderr"] = ["".join(node[name] or "" for node in nodes) for name in ("stdout", "stderr")]
    return told

def refused(call):
    try:
        call() if call.__name__ == "call" else ct.lattice(call).build_graph()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def answer(**told):
    Path(sys.argv[1]).write_text(json.dumps(told, default=dict))
"""


def squares(numbers: Any, offset: int = 100) -> list[dict[str, int]]:
    return [{"square": number * number + offset} for number in numbers]


def test_only_items_without_a_value_run_again_and_the_list_is_whole(
    run_client: Callable[[str], Any], tmp_path: Path
) -> None:
    maps = """
first = run(lambda: mapped(1, 5)(range(8), offset=100))
lazy = first["values"]
shapes = [len(lazy), list(lazy), 1 in lazy, 2 in lazy, lazy[3], lazy == dict(lazy), repr(lazy)]
second = run(lambda: mapped(5).rerun(first["id"]))
third = run(lambda: mapped().rerun(second["id"]))
anew = run(lambda: mapped().rerun(first["id"], offset=0))
whole = run(lambda: mapped(*range(8)).rerun(third["id"]))
unknown = run(lambda: mapped(3)(several(6)))
of_unknown = run(lambda: mapped().rerun(unknown["id"]))
none = run(lambda: mapped(0, 1)([0, 1]))
nothing_left = run(lambda: mapped().rerun(none["id"]))
in_place = run(lambda: mapped(2, return_exceptions=True)(range(4)))
in_place["value"] = list(map(str, in_place["value"]))
fixed = run(lambda: mapped(return_exceptions=True).rerun(in_place["id"]))
answer(**{name: told for name, told in globals().items() if isinstance(told, dict) and "ran" in told}, shapes=shapes)
"""
    told = run_client(CLIENT.replace("RAN", str(tmp_path / "ran")) + maps)
    first = told["first"]
    assert first["type"] == "MapError"
    assert first["errors"] == {"1": "bad 1", "5": "bad 5"}
    good = [0, 2, 3, 4, 6, 7]
    values = {str(number): {"square": number * number + 100} for number in good}
    assert first["values"] == values
    shown = "<values of 6 items of a map, read when they are asked for>"
    assert told["shapes"] == [6, good, False, True, {"square": 109}, True, shown]
    again = f'`train.rerun("{first["id"]}")`, in a lattice, runs the other items again.'
    assert again in first["error"]
    assert again in first["stderr"]

    second = told["second"]
    assert second["ran"] == [1, 5]
    assert second["values"] == {**values, "1": {"square": 101}}
    assert list(second["errors"]) == ["5"]
    assert second["stdout"] == (
        "--- item 1 ---\nitem 1\n--- item 5 ---\nitem 5\n"
        "8 items: 7 returned, 6 of them in an earlier run, 1 raised; 2 tasks\n"
    )
    assert (told["third"]["ran"], told["third"]["value"]) == ([5], squares(range(8)))
    anew = squares(range(8))
    anew[1], anew[5] = squares([1, 5], 0)
    assert (told["anew"]["ran"], told["anew"]["value"]) == ([1, 5], anew)
    assert (told["whole"]["ran"], told["whole"]["value"]) == ([], squares(range(8)))

    assert told["unknown"]["values"] == {str(n): {"square": n * n} for n in (0, 1, 2, 4, 5)}
    assert (told["of_unknown"]["ran"], told["of_unknown"]["value"]) == ([3], squares(range(6), 0))
    assert told["none"]["type"] == "MapError"
    assert told["nothing_left"]["type"] == "MissingResourceError"
    assert "cannot be run again: gs://covalent has nothing of it." in told["nothing_left"]["error"]
    assert told["in_place"]["value"][2] == "ValueError: bad 2"
    assert "3 values stay in gs://covalent/" in told["in_place"]["stderr"]
    assert (told["fixed"]["ran"], told["fixed"]["value"]) == ([2], squares(range(4), 0))


def test_what_cannot_be_run_again_is_told_when_the_graph_is_built(
    run_client: Callable[[str], Any], tmp_path: Path
) -> None:
    maps = """
@ct.electron(executor="local")
def idle():
    return 1

two = run(lambda: [mapped(1)(range(3)), mapped(2)(range(3))])
other = run(lambda: idle())
waiting = GCPBatchExecutor(max_parallel=1, retries=0)

@pmap(executor=waiting)
def slow(seconds):
    import time
    time.sleep(seconds)

running = ct.dispatch(ct.lattice(lambda: slow([600])))()
import time
for _ in range(600):
    if [str(node["status"]) for node in ct.get_result(running).get_all_node_results()][0] == "RUNNING":
        break
    time.sleep(0.1)
train = mapped()
def call():
    return train.rerun(two["id"])
told = {
    "outside": refused(call),
    "several": refused(lambda: train.rerun(two["id"])),
    "no_map": refused(lambda: train.rerun(two["id"], node=99)),
    "none": refused(lambda: train.rerun(other["id"])),
    "unknown": refused(lambda: train.rerun("11111111-1111-1111-1111-111111111111")),
    "still": refused(lambda: slow.rerun(running)),
    "constant": refused(lambda: train.rerun(two["id"], ofset=3)),
}
ct.cancel(running)
cancelled = ct.get_result(running, wait=True)
told["cancelled"] = run(lambda: slow.rerun(running))["error"]
named = run(lambda: mapped().rerun(two["id"], node=2))
def here():
    return pmap(executor="local")(lambda number: number).rerun(two["id"], node=0)
told["local"] = run(here)["error"]
answer(ids=[two["id"], other["id"], running], named=named, **told)
"""
    told = run_client(CLIENT.replace("RAN", str(tmp_path / "ran")) + maps)
    two, other, running = told["ids"]
    again = f"train.rerun({two!r})"
    assert told["outside"] == (
        f"TypeError: {again} is an electron of a lattice: ct.dispatch(ct.lattice(lambda: {again}))() runs it alone;"
        " train.local(items) runs items here"
    )
    maps = "its maps are node 0 (train, FAILED), node 2 (train, FAILED)"
    missing = "MissingResourceError: "
    assert told["several"] == f"{missing}dispatch {two} has several maps of the name 'train': write node=NODE, {maps}"
    assert told["no_map"] == f"{missing}node 99 of dispatch {two} is not a map: {maps}"
    assert told["none"] == f"{missing}dispatch {other} has no map that ran on Batch (GCPBatchExecutor)"
    assert "does not know the dispatch '11111111-" in told["unknown"]
    assert told["still"] == (
        f"{missing}node 0 (slow, RUNNING) of dispatch {running} has not ended: wait for it, or cancel it (a map that is"
        " cancelled leaves no values)"
    )
    assert "there is no parameter 'ofset' (did you mean 'offset'?)" in told["constant"]
    assert "those of a map that was cancelled do not." in told["cancelled"]
    assert (told["named"]["ran"], told["named"]["value"]) == ([2], squares(range(3), 0))
    assert f"the items of node 0 of dispatch {two} for a map are in a bucket" in told["local"]


def test_elsewhere_the_values_are_not_read_and_the_machine_is_named(
    run_client: Callable[[str], Any], covalent_server: PrivateCovalentServer, tmp_path: Path
) -> None:
    first = run_client(CLIENT.replace("RAN", str(tmp_path / "ran")) + "answer(**run(lambda: mapped(1)(range(3))))\n")
    folder = Path(covalent_server.environment["COVALENT_CONFIG_DIR"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in folder.rglob("*.conf"):
        (elsewhere / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / path.relative_to(folder)).write_text(path.read_text())
    program = f"""
from covalent_parallel_plugin import wait
try:
    wait({first["id"]!r})
except Exception as error:
    print(sorted(error.errors))
    try:
        len(error.values)
    except Exception as refused:
        print(type(refused).__name__, refused)
"""
    environment = {**os.environ, **covalent_server.environment, "COVALENT_CONFIG_DIR": str(elsewhere)}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.stdout.startswith("[1]\nSecretFileError there is no secret of a Covalent server at ")
