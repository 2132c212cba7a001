"""mpi4py.futures with an empty body; the argument is the chunk. Run it with
python -m mpi4py.futures on one rank more than there are workers."""

import sys
import time

from mpi4py.futures import MPIPoolExecutor


def body(i):
    return i


if __name__ == "__main__":
    chunk, n = int(sys.argv[1]), 100
    with MPIPoolExecutor() as pool:
        pool.bootup()
        while True:
            start = time.perf_counter()
            did = sum(pool.map(body, range(n), chunksize=chunk, unordered=True))
            took = time.perf_counter() - start
            assert did == n * (n - 1) // 2
            if took >= 0.2:
                break
            n = int(n * min(0.25 / took, 10)) + 1
    print("index", took / n)
