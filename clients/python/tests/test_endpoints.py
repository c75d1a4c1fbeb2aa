"""Several endpoints: which one is asked, and what a failure of one costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from support import Fake, Gate, abort, answer, failing, free_port, in_threads, wait_until

from aka_client import DeadlineExceeded, Refused, Resolved, Unavailable
from aka_client._engine import credentials

Make = Callable[..., Any]
Code = grpc.StatusCode


def test_the_endpoint_with_the_least_under_way_is_asked(make: Make, fake: Fake, other: Fake) -> None:
    gate = Gate()
    client = make([fake.address, other.address], max_batch=1, max_in_flight=5)
    client.resolve(1, "x")
    wait_until(lambda: client.stats()["endpoints_up"] == 2)
    fake.respond = other.respond = gate
    with in_threads(lambda: client.resolve_many(1, [f"x{i}" for i in range(6)])):
        wait_until(lambda: fake.under_way == other.under_way == 3)
        gate.opened.set()


def test_a_refused_connection_costs_nothing(make: Make, fake: Fake) -> None:
    client = make([f"127.0.0.1:{free_port()}", fake.address])
    for i in range(50):
        client.resolve(1, f"x{i}")
    assert client.stats()["retries"] == 0
    assert len(fake.requests) == 50


def test_a_name_stands_for_all_its_addresses(make: Make, fake: Fake) -> None:
    # At most one of the addresses of localhost has a server.
    client = make(f"localhost:{fake.port}")
    assert client.resolve(1, "x").canonical == "x"
    assert fake.metadata[0].get("user-agent", "").startswith("aka-client-python")


def test_a_name_without_addresses_is_unavailable(make: Make) -> None:
    with pytest.raises(Unavailable, match="no address"):
        make("no-such-host.invalid:1", timeout_ms=300, connect_timeout_ms=100).resolve(1, "x")


def test_unavailable_is_tried_on_another(make: Make, fake: Fake, other: Fake) -> None:
    fake.respond = lambda request, context: abort(context, Code.UNAVAILABLE)
    other.respond = lambda request, context: answer({0: "found"})
    client = make([fake.address, other.address])
    for _ in range(3):
        assert client.resolve(1, "x") == Resolved("found", True, False)


def test_one_that_stops_answers_what_it_has_and_gets_no_more(make: Make, fake: Fake, other: Fake) -> None:
    """GOAWAY."""
    gates = Gate(), Gate()
    fake.respond, other.respond = gates
    client = make([fake.address, other.address], max_batch=1, max_in_flight=2, timeout_ms=20_000)
    with in_threads(lambda: client.resolve_many(1, [f"x{i}" for i in range(8)])) as (found,):
        wait_until(lambda: fake.under_way == other.under_way == 2)
        stopped = fake.stop(grace=20)
        gates[1].opened.set()
        # The other one takes all the rest; the two that the first one has are waited for.
        wait_until(lambda: len(other.requests) == 6)
        assert not found.done()
        gates[0].opened.set()
    assert all(isinstance(outcome, Resolved) for outcome in found.result())
    assert len(fake.requests) == 2
    assert stopped.wait(20)


def test_one_that_comes_back_is_asked_again(make: Make, fake: Fake, other: Fake) -> None:
    client = make([fake.address, other.address])
    client.resolve(1, "x")
    fake.stop().wait(20)

    def is_down() -> bool:
        assert client.resolve(1, "x").canonical == "x"
        return bool(client.stats()["endpoints_down"])

    wait_until(is_down)
    fake.start()
    before = len(fake.requests)

    def is_back() -> bool:
        assert client.resolve(1, "x").canonical == "x"
        return len(fake.requests) > before

    wait_until(is_back)


def test_a_short_outage_is_waited_out(make: Make, fake: Fake) -> None:
    client = make(fake.address, timeout_ms=20_000, connect_timeout_ms=20_000)
    client.resolve(1, "x")
    fake.stop().wait(20)
    with in_threads(*[lambda i=i: client.resolve(1, f"y{i}") for i in range(10)]) as found:
        wait_until(lambda: client.stats()["endpoints_down"])
        assert not any(future.done() for future in found)
        fake.start()
    assert sorted(future.result().canonical for future in found) == [f"y{i}" for i in range(10)]


def test_in_a_long_outage_calls_fail_at_once(make: Make) -> None:
    client = make(f"127.0.0.1:{free_port()}", timeout_ms=20_000, connect_timeout_ms=100)
    with pytest.raises(Unavailable, match=r"no endpoint answers.*ipv4:127\.0\.0\.1.*refused"):
        client.resolve(1, "x")
    before = time.monotonic()
    for outcome in client.resolve_many(1, [f"secret{i}" for i in range(2000)]):
        assert isinstance(outcome, Unavailable)
        assert "secret" not in f"{outcome!r} {outcome} {outcome.__dict__}"
    # Far from the timeout, however slow the machine.
    assert time.monotonic() - before < 15
    assert client.stats()["batches"] == 0


def test_retries_have_a_number(make: Make, fake: Fake) -> None:
    fake.respond = lambda request, context: abort(context, Code.UNAVAILABLE, "SHARD_UNAVAILABLE", 1)
    for retries in (0, 2):
        before = len(fake.requests)
        with pytest.raises(Unavailable) as failed:
            make(fake.address, retries=retries, timeout_ms=20_000).resolve(1, "x")
        assert failed.value.reason == "SHARD_UNAVAILABLE"
        assert len(fake.requests) - before == 1 + retries


def test_retries_have_a_budget(make: Make, fake: Fake) -> None:
    fake.respond = lambda request, context: abort(context, Code.UNAVAILABLE, "SHARD_UNAVAILABLE", 0)
    client = make(fake.address, retries=3, timeout_ms=20_000)
    for _ in range(8):
        with pytest.raises(Unavailable):
            client.resolve(1, "x")
    # 8 first requests, and the 10 repeats that the budget has.
    assert len(fake.requests) == 18
    fake.respond = lambda request, context: answer()
    for _ in range(10):
        client.resolve(1, "x")
    fake.respond = lambda request, context: abort(context, Code.UNAVAILABLE, "SHARD_UNAVAILABLE", 0)
    with pytest.raises(Unavailable):
        client.resolve(1, "x")
    # Ten successes pay for one more.
    assert len(fake.requests) == 18 + 10 + 2


def test_retry_info_is_honoured(make: Make, fake: Fake) -> None:
    def respond(request: Any, context: Any) -> bytes:
        if len(fake.requests) == 1:
            return abort(context, Code.RESOURCE_EXHAUSTED, "OVERLOADED", 400)
        return answer()

    fake.respond = respond
    client = make(fake.address, timeout_ms=20_000)
    client.resolve(1, "x")
    assert fake.times[1] - fake.times[0] >= 0.39
    # A pause that the timeout does not leave is not waited for.
    fake.respond = lambda request, context: abort(context, Code.UNAVAILABLE, "TOKEN_AHEAD", 15_000)
    with pytest.raises(Unavailable) as failed:
        client.resolve(1, "x", timeout_ms=10_000)
    assert (failed.value.reason, failed.value.retry_after_ms) == ("TOKEN_AHEAD", 15_000)
    assert len(fake.requests) == 3


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.UNIMPLEMENTED])
def test_a_refusal_is_not_repeated(make: Make, fake: Fake, code: Any) -> None:
    fake.respond = lambda request, context: abort(context, code, "SOME_REASON")
    with pytest.raises(Refused) as refused:
        make(fake.address).resolve(1, "secret")
    assert refused.value.reason == "SOME_REASON"
    assert "secret" not in f"{refused.value!r} {refused.value} {refused.value.__dict__}"
    assert len(fake.requests) == 1


def test_no_retry_info_no_retry(make: Make, fake: Fake) -> None:
    fake.respond = lambda request, context: abort(context, Code.UNAVAILABLE, "SHARD_REFUSED")
    with pytest.raises(Unavailable):
        make(fake.address).resolve(1, "x")
    assert len(fake.requests) == 1


def test_a_slow_endpoint_is_hedged_in_one_batch_of_twenty(make: Make, fake: Fake, other: Fake) -> None:
    gate = Gate()
    client = make([fake.address, other.address], hedge_after_ms=20, timeout_ms=20_000)
    for i in range(40):
        client.resolve(1, f"warm{i}")
    for server, rest in ((fake, other), (other, fake)):
        server.respond, rest.respond = gate, lambda request, context: answer({0: "found"})
    # Two may be hedged by now. Each of both kinds of clients asks both servers in turn.
    outcomes = []
    other.respond = lambda request, context: answer({0: "found"})
    fake.respond = gate
    with in_threads(*[lambda i=i: client.resolve(1, f"x{i}", token=f"t{i}") for i in range(2)]) as found:
        outcomes = [future.result(20) for future in found]
    assert {outcome.canonical for outcome in outcomes} == {"found"}
    assert 1 <= client.stats()["hedges"] == client.stats()["hedges_won"] <= 2
    gate.opened.set()


def test_hedges_have_a_budget(make: Make, fake: Fake, other: Fake) -> None:
    def slow(request: Any, context: Any) -> bytes:
        time.sleep(0.03)
        return answer()

    fake.respond = other.respond = slow
    client = make([fake.address, other.address], hedge_after_ms=1, timeout_ms=20_000)
    for i in range(45):
        client.resolve(1, f"x{i}")
    assert client.stats()["hedges"] == 2
    assert client.stats()["batches"] == 47


def test_the_token_file_is_read_again(
    make: Make, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_EVERY_S", 0.0)
    file = tmp_path / "token"
    file.write_text("aka_one\n")
    client = make(fake.address, token_file=file)
    client.resolve(1, "x")
    assert fake.metadata[-1]["authorization"] == "Bearer aka_one"
    file.write_text("aka_second\n")
    client.resolve(1, "x")
    assert fake.metadata[-1]["authorization"] == "Bearer aka_second"
    # A file that is half written does not end the service.
    file.write_text("")
    client.resolve(1, "x")
    assert fake.metadata[-1]["authorization"] == "Bearer aka_second"


def test_a_token_that_was_replaced_is_read_at_once(
    make: Make, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No look but the one after the refusal.
    monkeypatch.setattr(credentials, "LOOK_EVERY_S", 3600.0)
    file = tmp_path / "token"
    file.write_text("aka_old")
    client = make(fake.address, token_file=file)
    client.resolve(1, "x")

    def respond(request: Any, context: grpc.ServicerContext) -> bytes:
        if ("authorization", "Bearer aka_new") in [tuple(item) for item in context.invocation_metadata()]:
            return answer()
        return abort(context, Code.UNAUTHENTICATED, "BAD_TOKEN")

    fake.respond = respond
    file.write_text("aka_new")
    assert client.resolve(1, "x").canonical == "x"
    file.write_text("aka_bad")
    monkeypatch.setattr(credentials, "LOOK_EVERY_S", 0.0)
    with pytest.raises(Refused):
        client.resolve(1, "x")


def _refuse(reason: str, method: str, context: grpc.ServicerContext) -> bytes:
    return abort(context, Code.UNAVAILABLE, reason, 0 if reason else None)


def test_a_delete_is_not_repeated_after_an_unknown_outcome(make: Make, fake: Fake) -> None:
    for reason, n in (("", 1), ("OUTCOME_UNKNOWN", 1), ("OVERLOADED", 3)):
        fake.admin.clear()
        fake.on_admin = partial(_refuse, reason)
        client = make(fake.address, retries=2)
        with pytest.raises(Unavailable):
            client.delete_alias(1, "x")
        assert len(fake.admin) == n, reason
        fake.admin.clear()
        with pytest.raises(Unavailable):
            client.create_alias(1, "x", "y")
        assert len(fake.admin) == 3, reason


def test_a_list_that_goes_round_ends(make: Make, fake: Fake) -> None:
    fake.on_admin = lambda method, context: b"\x12\x01p"
    with pytest.raises(Unavailable):
        list(make(fake.address).list_aliases(1, "x"))


def test_items_that_fail_on_one_endpoint_are_tried_on_another(make: Make, fake: Fake, other: Fake) -> None:
    fake.respond = lambda request, context: failing([0], "TOKEN_AHEAD")
    other.respond = lambda request, context: answer({0: "found"})
    client = make([fake.address, other.address])
    for _ in range(4):
        assert client.resolve(1, "x", token="t").canonical == "found"


def test_a_frozen_endpoint_is_left(make: Make, fake: Fake, other: Fake) -> None:
    client = make([fake.address, other.address], connect_timeout_ms=600)
    client.resolve(1, "x")
    wait_until(lambda: client.stats()["endpoints_up"] == 2)
    gate = Gate()
    fake.respond, fake.healthy = gate, False

    def is_late() -> bool:
        # One of the two is asked.
        return isinstance(client.resolve_many(1, ["x"], timeout_ms=700)[0], DeadlineExceeded)

    wait_until(is_late)
    before = len(fake.requests)
    for i in range(20):
        assert client.resolve(1, f"y{i}").canonical == f"y{i}"
    assert len(fake.requests) == before
    gate.opened.set()
