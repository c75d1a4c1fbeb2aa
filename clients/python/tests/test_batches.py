"""The queue and the batches, against a server that answers as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from support import Fake, Gate, abort, answer, failing, in_threads, wait_until

from aka_client import Closed, DeadlineExceeded, QueueFull, Refused, Resolved, Unavailable
from aka_client._engine import engine

Make = Callable[..., Any]


def connected(client: Any, fake: Fake) -> Any:
    """The client, once its endpoint is up."""
    client.resolve_many(1, [f"warm{i}" for i in range(client.options.max_batch)])
    fake.requests.clear()
    return client


def test_a_batch_grows_while_one_is_under_way(
    make: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "GROW_AT_MOST_S", 1000.0)
    gate = Gate()
    fake.respond = gate
    client = make(fake.address)
    calls = [lambda i=i: client.resolve(1, f"x{i}") for i in range(20)]
    with in_threads(lambda: client.resolve(1, "first")) as first:
        wait_until(lambda: fake.requests)
        with in_threads(*calls) as others:
            wait_until(lambda: client.stats()["ids"] == 21)
            assert fake.ids() == [["first"]]
            gate.opened.set()
    assert [future.result().canonical for future in (*first, *others)] == [
        "first",
        *(f"x{i}" for i in range(20)),
    ]
    assert [len(ids) for ids in fake.ids()] == [1, 20]


def test_one_id_does_not_wait(make: Make, fake: Fake) -> None:
    client = make(fake.address)
    for i in range(5):
        client.resolve(1, f"x{i}")
    assert fake.ids() == [[f"x{i}"] for i in range(5)]


def test_a_stuck_batch_does_not_hold_up_the_next(make: Make, fake: Fake) -> None:
    gate = Gate()
    fake.respond = lambda request, context: (
        gate(request, context) if "stuck" in request.distinct_ids else answer()
    )
    client = make(fake.address, timeout_ms=20_000)
    with in_threads(lambda: client.resolve(1, "stuck")) as found:
        wait_until(lambda: fake.requests)
        assert client.resolve(1, "next").canonical == "next"
        assert not found[0].done()
        gate.opened.set()


def test_a_batch_has_at_most_max_batch(make: Make, fake: Fake) -> None:
    client = make(fake.address, max_batch=10)
    client.resolve_many(1, [f"x{i}" for i in range(95)])
    sizes = sorted(len(ids) for ids in fake.ids())
    assert sizes == [5, *[10] * 9]


def test_no_more_than_max_in_flight(make: Make, fake: Fake) -> None:
    gate = Gate()
    fake.respond = gate
    client = make(fake.address, max_batch=1, max_in_flight=3, timeout_ms=20_000)
    with in_threads(lambda: client.resolve_many(1, [f"x{i}" for i in range(50)])):
        wait_until(lambda: fake.under_way == 3)
        gate.opened.set()
    assert fake.most_under_way == 3
    assert len(fake.requests) == 50


def test_linger_gathers_ids_although_nothing_is_under_way(make: Make, fake: Fake) -> None:
    client = connected(make(fake.address, linger_ms=10_000, max_batch=4), fake)
    with in_threads(*[lambda i=i: client.resolve(1, f"x{i}") for i in range(4)]):
        pass
    assert [len(ids) for ids in fake.ids()] == [4]


def test_projects_and_tokens_are_not_mixed(make: Make, fake: Fake) -> None:
    client = connected(make(fake.address, linger_ms=50), fake)
    calls = [
        lambda p=project, t=token: client.resolve(p, f"{p}{t}", token=t)
        for project in (1, 2)
        for token in ("", "t")
    ]
    with in_threads(*calls):
        pass
    seen = {(r.project_id, r.consistency_token, *r.distinct_ids) for r in fake.requests}
    assert seen == {(1, "", "1"), (1, "t", "1t"), (2, "", "2"), (2, "t", "2t")}


def test_a_full_queue_refuses_at_once(make: Make, fake: Fake) -> None:
    gate = Gate()
    client = connected(make(fake.address, max_in_flight=1, max_batch=1, max_queue=5, timeout_ms=20_000), fake)
    fake.respond = gate
    with in_threads(*[lambda i=i: client.resolve(1, f"x{i}") for i in range(6)]) as found:
        wait_until(lambda: client.stats()["ids"] == 7)
        with pytest.raises(QueueFull) as full:
            client.resolve(1, "secret")
        assert "secret" not in f"{full.value!r} {full.value}"
        assert not any(future.done() for future in found)
        gate.opened.set()
    assert client.stats()["queue_full"] == 1
    assert all(not any("secret" in ids for ids in batch) for batch in fake.ids())


def test_a_full_queue_can_be_waited_for(make: Make, fake: Fake) -> None:
    gate = Gate()
    client = make(
        fake.address, max_in_flight=1, max_batch=1, max_queue=2, when_full="wait", timeout_ms=20_000
    )
    connected(client, fake)
    fake.respond = gate
    with in_threads(*[lambda i=i: client.resolve(1, f"x{i}") for i in range(10)]) as found:
        wait_until(lambda: client.stats()["ids"] == 11)
        with pytest.raises(DeadlineExceeded):
            client.resolve(1, "late", timeout_ms=50)
        gate.opened.set()
    assert sorted(future.result().canonical for future in found) == [f"x{i}" for i in range(10)]
    assert sorted(id for ids in fake.ids() for id in ids) == [f"x{i}" for i in range(10)]


def test_many_ids_may_be_more_than_the_queue_holds(make: Make, fake: Fake) -> None:
    client = make(fake.address, max_queue=10, max_batch=7, timeout_ms=20_000)
    ids = [f"x{i}" for i in range(500)]
    assert [resolved.canonical for resolved in client.resolve_many(1, ids)] == ids


def test_a_deadline_is_kept(make: Make, fake: Fake) -> None:
    gate = Gate()
    fake.respond = gate
    client = make(fake.address, max_in_flight=1, timeout_ms=20_000)
    with in_threads(lambda: client.resolve(1, "patient")) as found:
        wait_until(lambda: fake.requests)
        started = time.monotonic()
        # It waits in the queue, for the batch under way.
        with pytest.raises(DeadlineExceeded):
            client.resolve(1, "queued", timeout_ms=100)
        assert time.monotonic() - started >= 0.1
        assert not found[0].done()
        gate.opened.set()
    # One that is sent.
    gate.opened.clear()
    other = make(fake.address)
    with pytest.raises(DeadlineExceeded) as late:
        other.resolve(1, "secret", timeout_ms=100)
    assert "secret" not in f"{late.value!r} {late.value} {late.value.__dict__}"
    gate.opened.set()


def test_deadlines_of_one_batch_are_each_ones_own(make: Make, fake: Fake) -> None:
    gate = Gate()
    fake.respond = gate
    client = make(fake.address, linger_ms=50, timeout_ms=20_000)
    with in_threads(
        lambda: client.resolve(1, "patient"), lambda: client.resolve(1, "hasty", timeout_ms=200)
    ) as (
        patient,
        hasty,
    ):
        assert isinstance(hasty.exception(20), DeadlineExceeded)
        assert not patient.done()
        gate.opened.set()
        assert patient.result(20).canonical == "patient"
    assert len(fake.requests) == 1


def test_an_answer_is_for_its_own_id(make: Make, fake: Fake) -> None:
    def respond(request: Any, context: Any) -> bytes:
        return answer({i: id.upper() for i, id in enumerate(request.distinct_ids) if int(id[1:]) % 2}, True)

    fake.respond = respond
    client = make(fake.address, max_batch=16)
    calls = [lambda i=i: client.resolve(1, f"x{i}") for i in range(200)]
    with in_threads(*calls) as found:
        pass
    for i, future in enumerate(found):
        assert future.result() == Resolved(f"X{i}" if i % 2 else f"x{i}", bool(i % 2), True)
    assert client.stats()["degraded"] == 200


@pytest.mark.parametrize("body", [b"\xff\xff", answer({7: "stranger"}), failing([1], "X")])
def test_an_answer_that_does_not_fit_is_no_answer(make: Make, fake: Fake, body: bytes) -> None:
    fake.respond = lambda request, context: body
    with pytest.raises(Unavailable):
        make(fake.address).resolve(1, "x")


def test_items_that_fail_are_asked_for_again_alone(make: Make, fake: Fake) -> None:
    def respond(request: Any, context: Any) -> bytes:
        return failing([1], "SHARD_UNAVAILABLE") if len(fake.requests) == 1 else answer({0: "found"})

    fake.respond = respond
    client = make(fake.address)
    assert client.resolve_many(1, ["a", "b", "c"]) == [
        Resolved("a", False, False),
        Resolved("found", True, False),
        Resolved("c", False, False),
    ]
    assert fake.ids() == [["a", "b", "c"], ["b"]]


def test_items_that_a_retry_does_not_help_are_not_asked_for_again(make: Make, fake: Fake) -> None:
    fake.respond = lambda request, context: failing([0], "SHARD_FULL")
    good, bad = make(fake.address).resolve_many(1, ["a", "b"])[::-1]
    assert good == Resolved("b", False, False)
    assert isinstance(bad, Unavailable)
    assert bad.reason == "SHARD_FULL"
    assert len(fake.requests) == 1


def test_or_unchanged_is_counted_and_takes_no_refusal(make: Make, fake: Fake) -> None:
    fake.respond = lambda request, context: failing([0], "SHARD_FULL")
    client = make(fake.address)
    assert client.resolve_or_unchanged(1, "a") == "a"
    fake.respond = lambda request, context: answer({0: "c"})
    assert client.resolve_or_unchanged(1, b"a") == b"c"
    assert client.stats()["unchanged"] == 1
    fake.respond = lambda request, context: abort(context, grpc.StatusCode.PERMISSION_DENIED, "NO")
    with pytest.raises(Refused):
        client.resolve_or_unchanged(1, "a")
    client.close()
    with pytest.raises(Closed):
        client.resolve_or_unchanged(1, "a")
    assert client.stats()["unchanged"] == 1


def test_close_drains(make: Make, fake: Fake) -> None:
    gate = Gate()
    fake.respond = gate
    client = make(fake.address, max_in_flight=1, max_batch=2, timeout_ms=20_000)
    with in_threads(*[lambda i=i: client.resolve(1, f"x{i}") for i in range(7)]) as found:
        wait_until(lambda: client.stats()["ids"] == 7)
        closer = threading.Thread(target=client.close)
        closer.start()

        def is_closed() -> bool:
            try:
                client.resolve(1, b"\xff")
            except Closed:
                return True
            return False

        wait_until(is_closed)
        assert not any(future.done() for future in found)
        gate.opened.set()
        closer.join(20)
    assert sorted(future.result().canonical for future in found) == [f"x{i}" for i in range(7)]


def test_close_waits_no_longer_than_it_is_told(make: Make, fake: Fake) -> None:
    gate = Gate()
    fake.respond = gate
    client = make(fake.address, max_in_flight=1, max_batch=2, timeout_ms=20_000)
    with in_threads(*[lambda i=i: client.resolve(1, f"x{i}") for i in range(7)]) as found:
        wait_until(lambda: client.stats()["ids"] == 7)
        client.close(50)
        for future in found:
            assert isinstance(future.exception(20), Closed)
    gate.opened.set()


def test_lanes_do_not_pile_up(make: Make, fake: Fake) -> None:
    client = make(fake.address)
    for i in range(50):
        client.resolve(1, "x", token=f"t{i}")
    assert not client._engine._lanes
