"""Servers are killed and started again under load: each id is right, or an error; none is lost or doubled.

`AKA_KILLS` says how many times (default 6).
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from support import Aka, OverLoop, wait_until

import aka_client
from aka_client import AkaError, NewAlias, Resolved

KILLS = int(os.environ.get("AKA_KILLS") or 6)
ALIASES, OTHERS, WORKERS = 300, 300, 24
Make = Callable[..., Any]


class Load:
    """What the workers share: the facts, and what they saw."""

    def __init__(self) -> None:
        self.facts = {f"a{i}": f"c{i % 50}" for i in range(ALIASES)} | {
            f"n{i}": f"n{i}" for i in range(OTHERS)
        }
        self.ids = list(self.facts)
        self.over = False
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self.calls = 0

    def has_answered(self, n: int) -> bool:
        return self.outcomes["Resolved"] > n

    def check(self, id: str, outcome: Any) -> None:
        self.calls += 1
        self.outcomes[type(outcome).__name__] += 1
        fact = self.facts[id]
        if isinstance(outcome, AkaError):
            return
        if outcome != Resolved(fact, fact != id, outcome.degraded):
            self.wrong.append((id, outcome))


def in_a_thread(client: aka_client.Client, load: Load, seed: int, lock: threading.Lock) -> None:
    pick = random.Random(seed)
    session = client.session()
    n = 0
    while not load.over:
        n += 1
        some = pick.sample(load.ids, pick.choice((1, 1, 1, 40)))
        found: list[Any]
        try:
            found = [client.resolve(1, some[0])] if len(some) == 1 else client.resolve_many(1, some)
        except AkaError as error:
            found = [error] * len(some)
        with lock:
            for id, outcome in zip(some, found, strict=True):
                load.check(id, outcome)
        if n % 20 == 0:
            new = f"new-{seed}-{n}"
            try:
                session.create_alias(2, new, "somebody")
                outcome = session.resolve(2, new)
            except AkaError:
                continue
            if outcome != Resolved("somebody", True, outcome.degraded):
                load.wrong.append((new, outcome))


def sees(client: Any, load: Load) -> bool:
    found = client.resolve_many(1, load.ids)
    return [getattr(outcome, "canonical", None) for outcome in found] == list(load.facts.values())


async def in_a_task(client: Any, load: Load, seed: int) -> None:
    pick = random.Random(seed)
    session = client.session()
    n = 0
    while not load.over:
        n += 1
        some = pick.sample(load.ids, pick.choice((1, 1, 1, 40)))
        found: list[Any]
        try:
            found = (
                [await client.resolve(1, some[0])] if len(some) == 1 else await client.resolve_many(1, some)
            )
        except AkaError as error:
            found = [error] * len(some)
        for id, outcome in zip(some, found, strict=True):
            load.check(id, outcome)
        if n % 20 == 0:
            new = f"new-{seed}-{n}"
            try:
                await session.create_alias(2, new, "somebody")
                outcome = await session.resolve(2, new)
            except AkaError:
                continue
            if outcome != Resolved("somebody", True, outcome.degraded):
                load.wrong.append((new, outcome))


def test_kills_under_load(
    make: Make, start_aka: Callable[..., Aka], capsys: pytest.CaptureFixture[str]
) -> None:
    first = start_aka()
    servers = [first, start_aka(sqlite=first.sqlite)]
    client = make([server.address for server in servers], timeout_ms=1000)
    load = Load()
    news = [NewAlias(1, id, fact) for id, fact in load.facts.items() if id != fact]
    assert not [r for r in client.create_aliases(news, timeout_ms=20_000).results if isinstance(r, AkaError)]
    # Without a token, an instance may answer from before the creates, for a second at most.
    for server in servers:
        alone = make(server.address)
        wait_until(partial(sees, alone, load), "all aliases are seen everywhere")

    lock, threads, tasks = threading.Lock(), [], []
    for seed in range(WORKERS):
        if isinstance(client, OverLoop):
            work = in_a_task(client._inner, load, seed)
            tasks.append(asyncio.run_coroutine_threadsafe(work, client._loop))
        else:
            threads.append(threading.Thread(target=in_a_thread, args=(client, load, seed, lock)))
            threads[-1].start()
    try:
        for kill in range(KILLS):
            server = servers[kill % 2]
            answered = load.outcomes["Resolved"]
            wait_until(partial(load.has_answered, answered + 1000), "answers before a kill")
            if kill % 4 == 3:
                assert server.stop() == 0
            else:
                server.kill()
            answered = load.outcomes["Resolved"]
            wait_until(partial(load.has_answered, answered + 100), "answers after a kill")
            server.start()
    finally:
        load.over = True
        for thread in threads:
            thread.join(20)
        for task in tasks:
            task.result(20)
    assert not load.wrong
    assert load.calls == sum(load.outcomes.values())
    # Nothing is left over, and what was counted adds up.
    stats = client.stats()
    ends = ["aliases", "not_aliases", "unavailable", "deadline_exceeded", "refused", "queue_full", "closed"]
    assert stats["ids"] == sum(stats[name] for name in ends)
    found = client.resolve_many(1, load.ids, timeout_ms=20_000)
    assert [resolved.canonical for resolved in found] == list(load.facts.values())
    with capsys.disabled():
        print(f" [{KILLS} kills: {dict(load.outcomes)}, {stats['retries']} retries]", end="")
