"""The demonstration: load the iris data, train a support vector machine, score it; three Batch jobs."""

import covalent as ct

batch = ct.executor.GCPBatchExecutor()


@ct.electron(executor=batch)
def load_data():
    from sklearn.datasets import load_iris

    iris = load_iris()
    return iris.data, iris.target


@ct.electron(executor=batch)
def train_svm(data):
    from sklearn.svm import SVC

    features, labels = data
    return SVC(C=3.0, gamma=0.1).fit(features[::2], labels[::2])


@ct.electron(executor=batch)
def score_svm(model, data):
    features, labels = data
    return float(model.score(features[1::2], labels[1::2]))


@ct.lattice
def iris_svm():
    data = load_data()
    return score_svm(train_svm(data), data)


if __name__ == "__main__":
    dispatch_id = ct.dispatch(iris_svm)()
    print(dispatch_id, flush=True)
    result = ct.get_result(dispatch_id, wait=True)
    print(result.status, result.result)
