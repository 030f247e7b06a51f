"""A map: one electron calls a function for every point of a grid, and another one picks the best point."""

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, grid, pmap, wait

executor = GCPBatchExecutor(vcpus=1, memory=512, max_parallel=4)


@pmap(executor=executor)
def himmelblau(x, y):
    value = (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2
    return {"x": x, "y": y, "value": value}


@ct.electron(executor=executor)
def lowest(points):
    return min(points, key=lambda point: point["value"])


@ct.lattice
def workflow():
    points = himmelblau(grid(x=range(-5, 6), y=range(-5, 6)))
    return lowest(points)


if __name__ == "__main__":
    print(wait(ct.dispatch(workflow)()))
