"""mpi4py's gather of 50,000 records of each rank, as tuples."""

import time

from mpi4py import MPI

EACH = 50_000
world = MPI.COMM_WORLD


def record(i):
    return (i, f"item-{i}", i / 2)


def timed(n):
    """Gathers n times; returns the seconds of the slowest rank."""
    global everything
    world.Barrier()
    start = time.perf_counter()
    for _ in range(n):
        everything = world.gather(local, root=0)
    return world.allreduce(time.perf_counter() - start, MPI.MAX)


local = [record(world.rank * EACH + i) for i in range(EACH)]
everything = None
n = 1
while (took := timed(n)) < 0.2:
    n = int(n * min(0.25 / took, 10)) + 1
if world.rank == 0:
    flat = [r for part in everything for r in part]
    assert flat == [record(i) for i in range(EACH * world.size)]
    print("gather", took / n)
