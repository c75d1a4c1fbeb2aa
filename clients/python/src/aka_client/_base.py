"""What the client for threads and the one for asyncio have in common: the options, and the life of both."""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import AnyStr, Protocol

from ._engine.addresses import Server, read_servers
from ._engine.credentials import channel_credentials
from ._engine.driver import Driver
from ._engine.engine import Engine
from ._engine.ids import in_type_of, is_trace
from ._engine.jobs import Waiter
from .answers import Resolved
from .errors import AkaError, Closed, Unavailable
from .metrics import Metrics
from .options import Options, WhenFull

FORKED = (
    "this client was used before the process forked, and its connections and threads belong to the parent; "
    "make a new client in the child"
)

_all: weakref.WeakSet[BaseClient] = weakref.WeakSet()
# What a child keeps of its parent's clients. To end a channel of the parent could hang.
_kept: list[object] = []


class ForkableDriver(Driver, Protocol):
    """A driver that knows what to do in the child of a fork."""

    def forked(self) -> None:
        """Makes new locks. Only called if it was never used."""


class BaseClient:
    """The options of a client. See `aka_client.Client` and `aka_client.aio.Client`."""

    options: Options
    _driver: ForkableDriver

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        timeout_ms: int = 1000,
        connect_timeout_ms: int = 1000,
        linger_ms: int = 0,
        max_batch: int = 512,
        max_queue: int = 10_000,
        when_full: WhenFull = "error",
        max_in_flight: int = 4,
        retries: int = 3,
        hedge_after_ms: int | None = None,
        cache_entries: int = 0,
        staleness_ms: int = 1000,
        token_file: str | os.PathLike[str] | None = None,
        ca: str | os.PathLike[str] | None = None,
        cert: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Checks the options. Nothing is connected before the first call. See `Options` for each.

        Raises:
            ValueError: If an option is wrong, or a token or certificate cannot be used.
            OSError: If a file of a certificate cannot be read.

        """
        self.options = Options(
            timeout_ms=timeout_ms,
            connect_timeout_ms=connect_timeout_ms,
            linger_ms=linger_ms,
            max_batch=max_batch,
            max_queue=max_queue,
            when_full=when_full,
            max_in_flight=max_in_flight,
            retries=retries,
            hedge_after_ms=hedge_after_ms,
            cache_entries=cache_entries,
            staleness_ms=staleness_ms,
            token_file=token_file,
            ca=ca,
            cert=cert,
            key=key,
        )
        servers = read_servers(endpoints, tls=ca is not None or cert is not None)
        self._servers = servers
        if servers[0].tls:
            channel_credentials(self.options)
        self._engine = self._make_engine(self.options, metrics)
        _all.add(self)

    def _make_engine(self, options: Options, metrics: Metrics | None) -> Engine:
        effects: deque[Callable[[], None]] = deque()
        driver = self._make_driver(self._servers, effects)
        return Engine(self._servers, options, driver, effects, metrics)

    def _make_driver(self, servers: list[Server], effects: deque[Callable[[], None]]) -> Driver:
        raise NotImplementedError

    def _submit(self, project: int, token: str, waiters: Sequence[Waiter]) -> None:
        try:
            self._engine.submit(project, token, waiters)
        except AkaError as error:
            self._engine.failed(error, len(waiters))
            raise

    def _known(
        self, project: int, id: AnyStr, text: str | None, token: str, at: float
    ) -> Resolved[AnyStr] | None:
        """The answer, if it needs no request: no alias can have the id, or the answer is remembered."""
        engine = self._engine
        engine.counters.add("ids")
        if text is None or (engine.cache.is_on and not token):
            if engine.closed is not None:
                engine.counters.add("closed")
                raise Closed(engine.closed)
            if text is None:
                engine.counters.add("echoed")
                return Resolved(id, False, False)
            cached = engine.cache.get(project, text, at)
            if cached is not None:
                engine.counters.add("cache_hits")
                return Resolved(in_type_of(id, cached.canonical), cached.is_alias, cached.degraded)
        return None

    def _deadline(self, now: float, timeout_ms: int | None) -> float:
        if timeout_ms is None:
            return now + self.options.timeout_ms / 1000
        if timeout_ms <= 0:
            raise ValueError(f"timeout_ms is {timeout_ms}, not a number above 0")
        return now + timeout_ms / 1000

    def _trace(self, traceparent: str | None) -> str:
        """The trace to send. One of another form is dropped: it must not cost the answer."""
        if not traceparent:
            return ""
        if is_trace(traceparent):
            return traceparent
        self._engine.counters.add("traces_dropped")
        return ""

    def _next_page(self, seen: set[str], token: str) -> str:
        """Guards against a server whose pages go round in a circle."""
        if token in seen:
            raise Unavailable("the pages of the list go round in a circle")
        seen.add(token)
        return token

    def _forked(self) -> None:
        """Called in the child of a fork, where no other thread is."""
        used = self._engine.is_started
        _kept.append((self._engine, self._driver))
        # Another thread may have held a lock when the process forked, so all of it is new.
        if used:
            self._engine = self._make_engine(dataclasses.replace(self.options, token_file=None), None)
            self._engine.close(FORKED)
        else:
            self._driver.forked()


def outcome_of(id: AnyStr, outcome: object) -> Resolved[AnyStr] | AkaError:
    """The outcome, in the type of the id that was asked for."""
    if isinstance(outcome, AkaError):
        return outcome
    assert isinstance(outcome, Resolved)
    if isinstance(id, str) or isinstance(outcome.canonical, bytes):
        return outcome
    return Resolved(in_type_of(id, outcome.canonical), outcome.is_alias, outcome.degraded)


def _after_fork() -> None:
    for client in list(_all):
        client._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
