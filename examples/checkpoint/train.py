"""Train on Spot machines: save a checkpoint at SIGTERM, and continue from it on the next machine.

python train.py gs://MY-BUCKET/PREFIX      # a bucket that all machines see
python train.py /tmp/state                 # a folder, for an emulator whose tasks are processes
"""

import sys

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor

EPOCHS = 40


def train(folder, epochs):
    import json
    import signal
    import sys
    import time
    from pathlib import Path

    path = Path(folder, "checkpoint.json")
    state = {"epoch": 0, "loss": 1.0, "machines": 1}
    if path.exists():
        state = json.loads(path.read_text())
        state["machines"] += 1

    # The handler takes a note only: so the state that is saved is never that of half an epoch.
    asked = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    print("begins after epoch", state["epoch"], flush=True)
    while state["epoch"] < epochs:
        time.sleep(0.2)  # one epoch; it may take 15 seconds, since the electron is killed after 20
        state = {**state, "epoch": state["epoch"] + 1, "loss": state["loss"] * 0.9}
        if asked:
            # Complete or not there: also if the machine is gone amid the writing
            new = path.with_suffix(".new")
            new.write_text(json.dumps(state))
            new.replace(path)
            print("saved epoch", state["epoch"])
            sys.exit(1)
    return state


if __name__ == "__main__":
    place = sys.argv[1]
    is_bucket = place.startswith("gs://")
    executor = GCPBatchExecutor(spot=True, retries=5, volumes={"state": f"{place}:rw"} if is_bucket else {})
    electron = ct.electron(train, executor=executor)
    workflow = ct.lattice(lambda folder, epochs: electron(folder, epochs))
    dispatch_id = ct.dispatch(workflow)("/mnt/disks/state" if is_bucket else place, EPOCHS)
    result = ct.get_result(dispatch_id, wait=True)
    for node in result.get_all_node_results():
        if node["node_name"] == "train":
            print(node["stdout"])
    print(result.status, result.result)
