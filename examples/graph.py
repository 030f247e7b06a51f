"""A graph: three electrons that need each other's results, on machines of different sizes."""

import covalent as ct

from covalent_parallel_plugin import GCPBatchExecutor, wait

small = GCPBatchExecutor(vcpus=1, memory=512)
large = GCPBatchExecutor(vcpus=2, memory=2048, time_limit="1h")


@ct.electron(executor=small)
def initial_state(size):
    return [1.0 if cell == size // 2 else 0.0 for cell in range(size)]


@ct.electron(executor=large)
def diffuse(heat, rate, steps):
    for _ in range(steps):
        left, right = [heat[0], *heat[:-1]], [*heat[1:], heat[-1]]
        heat = [h + rate * (a - 2 * h + b) for a, h, b in zip(left, heat, right, strict=True)]
    return heat


@ct.electron(executor=small)
def compare(slow, fast):
    return {"slow": round(max(slow), 4), "fast": round(max(fast), 4), "total": round(sum(fast), 4)}


@ct.lattice
def workflow(size, steps):
    start = initial_state(size)
    slow = diffuse(start, 0.1, steps)  # these two run at the same time
    fast = diffuse(start, 0.4, steps)
    return compare(slow, fast)


if __name__ == "__main__":
    print(wait(ct.dispatch(workflow)(101, 200)))
