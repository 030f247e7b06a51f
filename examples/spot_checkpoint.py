"""Train on Spot machines: what is saved in the checkpoint's folder is there again after the machine was taken away."""

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, wait

executor = GCPBatchExecutor(spot=True, spot_fallback=True, retries=5, checkpoint=True)


@ct.electron(executor=executor)
def train(epochs):
    import json
    import os
    import time
    from pathlib import Path

    path = Path(os.environ["COVALENT_PARALLEL_CHECKPOINT"], "state.json")
    state = json.loads(path.read_text()) if path.exists() else {"epoch": 0, "weight": 0.0}
    print("begins at epoch", state["epoch"])
    while state["epoch"] < epochs:
        time.sleep(0.2)  # one epoch: a step towards the minimum of (weight - 3) ** 2
        state = {"epoch": state["epoch"] + 1, "weight": state["weight"] - 0.2 * (state["weight"] - 3)}
        # Complete or not there: also if the machine goes amid the writing
        new = path.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(path)
    return state


@ct.lattice
def workflow(epochs):
    return train(epochs)


if __name__ == "__main__":
    state = wait(ct.dispatch(workflow)(25))
    print(f"weight {state['weight']:.3f} after {state['epoch']} epochs")
