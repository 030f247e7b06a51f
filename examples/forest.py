"""A hyperparameter search: train a random forest for each combination, on as many machines, and print the ranking."""

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, grid, pmap, wait

executor = GCPBatchExecutor(vcpus=2, memory=2048, time_limit="30m", max_parallel=2, requirements=["scikit-learn"])


@pmap(executor=executor)
def score(trees, depth):
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score

    X, y = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=0)
    return {"accuracy": float(cross_val_score(model, X, y, cv=3).mean()), "trees": trees, "depth": depth}


@ct.lattice
def workflow():
    return score(grid(trees=[5, 20], depth=[2, 8]))


if __name__ == "__main__":
    scores = wait(ct.dispatch(workflow)())
    for row in sorted(scores, key=lambda row: row["accuracy"], reverse=True):
        print(f"accuracy {row['accuracy']:.3f} with {row['trees']} trees of depth {row['depth']}")
