"""multiprocessing.Pool.imap_unordered with an empty body on two processes; the
argument is the chunk."""

import multiprocessing
import sys
import time


def body(i):
    return i


if __name__ == "__main__":
    chunk, n = int(sys.argv[1]), 1000
    with multiprocessing.Pool(2) as pool:
        while True:
            start = time.perf_counter()
            did = sum(pool.imap_unordered(body, range(n), chunk))
            took = time.perf_counter() - start
            assert did == n * (n - 1) // 2
            if took >= 0.2:
                break
            n = int(n * min(0.25 / took, 10)) + 1
    print("index", took / n)
