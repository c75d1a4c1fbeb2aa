"""The cache, metrics, traces, tokens, options, and forks."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support import Aka, Fake, answer, in_threads, wait_until

import aka_client
from aka_client import AkaError, Client, Resolved, Unavailable, metrics
from aka_client._clock import now
from aka_client._engine.addresses import read_servers
from aka_client._engine.cache import Cache
from aka_client.tokens import KEEP_S, MOST_UNREAD, TokenJar, _write

Make = Callable[..., Any]


def test_an_answer_is_remembered_until_it_is_stale(make: Make, fake: Fake) -> None:
    fake.respond = lambda request, context: answer({0: "found"})
    client = make(fake.address, cache_entries=10, staleness_ms=3_600_000)
    found = [client.resolve(1, "x"), client.resolve(1, "x"), *client.resolve_many(1, ["x"])]
    assert found == [Resolved("found", True, False)] * 3
    assert client.resolve(1, b"x") == Resolved(b"found", True, False)
    assert (len(fake.requests), client.stats()["cache_hits"]) == (1, 3)
    # Another project, and a reader with a token, must ask.
    client.resolve(2, "x")
    client.resolve(1, "x", token="t")
    client.resolve(1, "x", token="t")
    assert len(fake.requests) == 4


def test_a_remembered_answer_counts_from_the_sending() -> None:
    cache = Cache(10, 1.0)
    answer = Resolved("c", True, False)
    cache.put(1, "x", answer, sent_at=100.0)
    assert cache.get(1, "x", 100.999) is answer
    assert cache.get(1, "x", 101.0) is None
    for i in range(20):
        cache.put(1, f"x{i}", answer, sent_at=100.0)
    assert [cache.get(1, f"x{i}", 100.5) is answer for i in range(20)] == [False] * 10 + [True] * 10


def test_a_client_that_remembers_sees_its_own_writes(make: Make, aka: Aka) -> None:
    client = make(aka.address, cache_entries=10, staleness_ms=3_600_000)
    id = f"a{time.monotonic_ns()}"
    assert client.resolve(77_001, id).is_alias is False
    client.create_alias(77_001, id, "b")
    assert client.resolve(77_001, id) == Resolved("b", True, False)
    cache = Cache(10, 60.0)
    cache.wrote(100.0)
    # Sent before the write ended: it may be from before it.
    cache.put(1, "x", Resolved("x", False, False), sent_at=99.0)
    assert cache.get(1, "x", 100.0) is None


def test_degraded_answers_are_not_remembered(make: Make, fake: Fake) -> None:
    fake.respond = lambda request, context: answer({0: "found"}, degraded=True)
    client = make(fake.address, cache_entries=10, staleness_ms=3_600_000)
    for _ in range(2):
        assert client.resolve(1, "x") == Resolved("found", True, True)
    assert len(fake.requests) == 2


class Hook:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.observed: Counter[str] = Counter()

    def count(self, name: str, n: int) -> None:
        self.counts[name] += n

    def observe(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.observed[name] += 1


def test_the_hook_hears_what_is_counted(make: Make, fake: Fake) -> None:
    hook = Hook()
    client = make(fake.address, metrics=hook)
    for i in range(3):
        client.resolve(1, f"x{i}")
    client.resolve_many(1, ["a", "b"])
    client.close()
    stats = client.stats()
    assert set(stats) == set(metrics.NAMES)
    assert hook.counts == Counter({name: n for name, n in stats.items() if n})
    assert (stats["ids"], stats["not_aliases"], stats["batches"]) == (5, 5, 4)
    assert hook.observed == Counter(call_seconds=4, resolve_seconds=3)


def test_a_hook_that_fails_costs_no_answer(fake: Fake) -> None:
    class Broken:
        def count(self, name: str, n: int) -> None:
            raise ValueError(name)

        def observe(self, name: str, seconds: float) -> None:
            raise ValueError(name)

    with Client(fake.address, metrics=Broken()) as client:
        assert client.resolve(1, "x").canonical == "x"


def test_a_trace_is_passed_on(make: Make, fake: Fake) -> None:
    client = make(fake.address)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.resolve(1, "x", traceparent=trace)
    client.resolve(1, "x")
    client.resolve(1, "x", traceparent="no\ntrace")
    assert [m.get("traceparent") for m in fake.metadata] == [trace, None, None]
    assert client.stats()["traces_dropped"] == 1


CLUSTER = b"\0" * 7 + b"\7"


def token(*marks: tuple[int, int]) -> str:
    return _write({(CLUSTER, shard): (seq, (seq * 31).to_bytes(8, "big")) for shard, seq in marks})[0]


def test_tokens_are_pruned_to_one_a_shard() -> None:
    jar = TokenJar(lambda: 0.0)
    for marks in ([(1, 5)], [(0, 2)], [(1, 3)], [(0, 9), (2, 1)]):
        jar.add(token(*marks))
    assert jar.joined() == token((0, 9), (1, 5), (2, 1))
    jar.add(f"{token((1, 7))},{token((2, 4))}")
    assert jar.joined() == token((0, 9), (1, 7), (2, 4))


def test_tokens_are_dropped_after_a_minute() -> None:
    at = 0.0
    jar = TokenJar(lambda: at)
    jar.add(token((0, 1)))
    at = KEEP_S - 1
    jar.add(token((1, 1)))
    assert jar.joined() == token((0, 1), (1, 1))
    at = KEEP_S
    assert jar.joined() == token((1, 1))
    at = KEEP_S * 2
    assert jar.joined() == ""


def test_tokens_of_another_form_are_kept_as_they_are() -> None:
    jar = TokenJar(lambda: 0.0)
    for unread in ("future-form", "future-form", token((0, 1))[:-3], "AQ"):
        jar.add(unread)
    jar.add(token((0, 1)))
    assert jar.joined().split(",") == [token((0, 1)), "future-form", token((0, 1))[:-3], "AQ"]
    for i in range(1000):
        jar.add(f"future-{i}")
    assert len(jar.joined().split(",")) == 1 + MOST_UNREAD


def test_the_servers_of_the_options() -> None:
    def read(text: str) -> tuple[str, int, bool]:
        (server,) = read_servers(text, tls=False)
        return server.host, server.port, server.tls

    assert read("aka.internal") == ("aka.internal", 50051, False)
    assert read("http://10.0.0.1:7/") == ("10.0.0.1", 7, False)
    assert read("https://[::1]:7") == ("::1", 7, True)
    assert read("dns:///aka:50051") == ("aka", 50051, False)
    assert read("::1") == ("::1", 50051, False)
    for bad in ("", "a:b", "a:0", "a:65536", "[::1", "ftp://a", "a,b", "a/b:1", "http://"):
        with pytest.raises(ValueError, match=r"endpoint"):
            read_servers(bad, tls=False)
    for several in ([], ["https://a", "http://b"]):
        with pytest.raises(ValueError, match=r"endpoint"):
            read_servers(several, tls=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_ms": 0},
        {"max_batch": 10_001},
        {"retries": -1},
        {"linger_ms": 30_000},
        {"hedge_after_ms": 0},
        {"when_full": "drop"},
        {"cert": "only.pem"},
        {"max_queue": 1.5},
        {"token_file": "/does/not/exist"},
    ],
)
def test_wrong_options_are_told_at_once(make: Make, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).partition("_")[0]):
        make("127.0.0.1:1", **wrong)


def test_errors_can_be_pickled() -> None:
    error = Unavailable("m", code="UNAVAILABLE", reason="R", metadata={"a": "b"}, retry_after_ms=5)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.__dict__) == (str(error), error.__dict__)


def test_exceptions_are_not_shared(fake: Fake) -> None:
    """Each caller gets an exception of its own: raising one changes it."""
    with Client("127.0.0.1:1", timeout_ms=200, connect_timeout_ms=100) as client:
        with in_threads(*[lambda: client.resolve(1, "x")] * 8) as found:
            pass
        errors = [future.exception() for future in found]
        assert all(isinstance(error, AkaError) for error in errors)
        assert len({id(error) for error in errors}) == 8


def test_asyncio_tasks_may_be_cancelled(fake: Fake) -> None:
    import asyncio

    from support import Gate

    gate = Gate()
    fake.respond = gate

    async def main() -> None:
        async with aka_client.aio.Client(fake.address, max_in_flight=1, timeout_ms=20_000) as client:
            tasks = [asyncio.create_task(client.resolve(1, f"x{i}")) for i in range(10)]
            await asyncio.to_thread(wait_until, lambda: fake.requests)
            for task in tasks[::2]:
                task.cancel()
            gate.opened.set()
            found = await asyncio.gather(*tasks, return_exceptions=True)
        for i, outcome in enumerate(found):
            if i % 2:
                assert outcome == Resolved(f"x{i}", False, False)
            else:
                assert isinstance(outcome, asyncio.CancelledError)

    asyncio.run(main())


FORKS = """
import os, sys
import aka_client
used, unused = (aka_client.Client(sys.argv[1], timeout_ms=20_000) for _ in range(2))
if sys.argv[2] == "used":
    used.resolve(1, "x")
child = os.fork()
if child == 0:
    if sys.argv[2] == "used":
        try:
            used.resolve(1, "x")
        except aka_client.Closed as closed:
            assert "fork" in str(closed)
            used.close()
            sys.exit(7)
        os._exit(1)
    assert unused.resolve(1, "x").canonical == "x"
    unused.close()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert used.resolve(1, "x").canonical == "x"
used.close()
unused.close()
print("fine")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("when", ["used", "unused"])
def test_a_fork_ends_the_client_in_the_child_alone(aka: Aka, when: str) -> None:
    command = [sys.executable, "-c", FORKS, aka.address, when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_the_clock_counts_seconds() -> None:
    before, started = now(), time.monotonic()
    time.sleep(0.01)
    assert now() - before >= 0.0099
    assert abs((now() - before) - (time.monotonic() - started)) < 5
