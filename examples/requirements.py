"""Packages: pip installs NumPy in the container before the electron runs; the image does not need it."""

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, wait

executor = GCPBatchExecutor(vcpus=1, memory=1024, requirements=["numpy"])


@ct.electron(executor=executor)
def fit_line(x, y):
    import numpy as np

    slope, intercept = np.polyfit(x, y, deg=1)
    return round(float(slope), 3), round(float(intercept), 3)


@ct.lattice
def workflow(x, y):
    return fit_line(x, y)


if __name__ == "__main__":
    x = [0, 1, 2, 3, 4]
    y = [1.1, 2.9, 5.2, 6.8, 9.0]
    slope, intercept = wait(ct.dispatch(workflow)(x, y))
    print(f"y = {slope} x + {intercept}")
