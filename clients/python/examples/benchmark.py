"""Measures how many ids a second one process resolves.

    python benchmark.py 127.0.0.1:50051 [seconds]

A tenth of the ids are aliases, which it creates first. Every answer is checked.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable

from aka_client import Client, NewAlias, Resolved, aio

PROJECT = 4711
TIMEOUT_MS = 10_000
FACTS = {f"user-{i}": f"person-{i % 100}" if i % 10 == 0 else f"user-{i}" for i in range(5000)}
IDS = list(FACTS)
Call = Callable[[], int]


def check(id: str, outcome: object) -> None:
    """Ends the program if an answer is wrong, or is none."""
    fact = FACTS[id]
    if outcome != Resolved(fact, fact != id, False):
        sys.exit(f"{id}: {outcome}")


def report(what: str, done: int, seconds: float, cpu: float) -> None:
    """Prints one figure."""
    print(f"{what:42} {done / seconds:9,.0f} ids/s {cpu / done * 1e6:7.2f} µs of CPU an id")


def threads(client: Client, n: int, seconds: float) -> int:
    """So many threads, each of which resolves one id after the other."""
    counts = [0] * n
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        pick = random.Random(number)
        while time.monotonic() < end:
            id = pick.choice(IDS)
            check(id, client.resolve(PROJECT, id))
            counts[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(n)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts)


def many(client: Client, n: int, seconds: float) -> int:
    """One thread, which resolves so many ids at a time."""
    done, end, ids = 0, time.monotonic() + seconds, itertools.cycle(IDS)
    while time.monotonic() < end:
        some = list(itertools.islice(ids, n))
        for id, outcome in zip(some, client.resolve_many(PROJECT, some), strict=True):
            check(id, outcome)
        done += n
    return done


async def tasks(client: aio.Client, n: int, seconds: float) -> int:
    """So many tasks, each of which resolves one id after the other."""
    end = time.monotonic() + seconds

    async def work(number: int) -> int:
        pick, done = random.Random(number), 0
        while time.monotonic() < end:
            id = pick.choice(IDS)
            check(id, await client.resolve(PROJECT, id))
            done += 1
        return done

    return sum(await asyncio.gather(*(work(number) for number in range(n))))


async def over_asyncio(server: str, seconds: float) -> None:
    """The figures of the client for asyncio."""
    async with aio.Client(server, timeout_ms=TIMEOUT_MS) as client:
        for n in (1, 100, 2000):
            started, cpu = time.monotonic(), time.process_time()
            done = await tasks(client, n, seconds)
            report(f"asyncio, {n} tasks", done, time.monotonic() - started, time.process_time() - cpu)


def main() -> None:
    """Runs all of it."""
    server = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    with Client(server, timeout_ms=TIMEOUT_MS) as client:
        client.create_aliases(NewAlias(PROJECT, id, fact) for id, fact in FACTS.items() if id != fact)
        ways: list[tuple[str, Callable[[Client, int, float], int], int]] = [
            ("one thread, resolve_many of 512 ids", many, 512),
            ("one thread, resolve_many of 5000 ids", many, 5000),
            *((f"{n} threads", threads, n) for n in (1, 32, 256)),
        ]
        for what, way, n in ways:
            started, cpu = time.monotonic(), time.process_time()
            done = way(client, n, seconds)
            report(what, done, time.monotonic() - started, time.process_time() - cpu)
    asyncio.run(over_asyncio(server, seconds))


if __name__ == "__main__":
    main()
