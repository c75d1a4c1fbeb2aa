"""The client for threads."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import AnyStr, TypeVar

from ._base import BaseClient, outcome_of
from ._clock import now
from ._engine import admin
from ._engine.addresses import Server
from ._engine.driver import Driver
from ._engine.ids import check_project, check_token, text_of
from ._engine.jobs import AdminJob, Waiter
from ._threads import ThreadDriver
from .answers import Alias, BatchCreated, Created, NewAlias, Resolved, Updated
from .errors import AkaError, DeadlineExceeded, QueueFull, Unavailable
from .session import Session

_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="Client")
# The engine keeps deadlines. Should it ever fail to, nobody waits for longer than this.
_GRACE_S = 5.0
_log = logging.getLogger("aka_client")


class _One(Waiter):
    """A thread that waits for one id."""

    __slots__ = ("lock", "outcome")

    def __init__(self, id: str, deadline: float, trace: str) -> None:
        super().__init__(id, deadline, trace)
        self.outcome: object = None
        self.lock = threading.Lock()
        self.lock.acquire()

    def complete(self, outcome: object) -> None:
        self.outcome = outcome
        self.lock.release()


class _Many:
    """A thread that waits for many ids."""

    __slots__ = ("left", "lock", "outcomes")

    def __init__(self, n: int) -> None:
        self.outcomes: list[object] = [None] * n
        self.left = 0
        self.lock = threading.Lock()
        self.lock.acquire()


class _Slot(Waiter):
    """One of many ids."""

    __slots__ = ("index", "many")

    def __init__(self, id: str, deadline: float, trace: str, many: _Many, index: int) -> None:
        super().__init__(id, deadline, trace)
        self.many = many
        self.index = index

    def complete(self, outcome: object) -> None:
        many = self.many
        many.outcomes[self.index] = outcome
        many.left -= 1
        if not many.left:
            many.lock.release()


def _overdue() -> DeadlineExceeded:
    """The engine failed to keep a deadline. That is a fault in here, and is told."""
    _log.error("a fault in the client: a deadline was not kept")
    return DeadlineExceeded("the timeout passed")


class Client(BaseClient):
    """A client that any number of threads may use at a time.

    It gathers what they ask for into batches. It belongs to the process that first used it: after a fork,
    make a new one in the child. Close it, or use it in a `with` statement.
    """

    _driver: ThreadDriver

    def _make_driver(self, servers: list[Server], effects: deque[Callable[[], None]]) -> Driver:
        self._driver = ThreadDriver(self.options, servers[0].tls, effects)
        self._idle = threading.Event()
        return self._driver

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------- reads

    def resolve(
        self,
        project: int,
        id: AnyStr,
        *,
        token: str = "",
        timeout_ms: int | None = None,
        traceparent: str | None = None,
    ) -> Resolved[AnyStr]:
        """Finds out whether an id is an alias, and of whom.

        With the `token` of a write, the answer is at least as fresh as that write.

        Raises:
            Unavailable: If it could not be found out.
            DeadlineExceeded: If the timeout passed.
            Refused: If the server refuses the project, the token, or the caller.
            QueueFull: If too many ids wait already.
            Closed: If the client was closed.

        """
        check_project(project)
        check_token(token)
        text = text_of(id)
        engine, started = self._engine, now()
        deadline = self._deadline(started, timeout_ms)
        with self._driver:
            known = self._known(project, id, text, token, started)
            if known is not None:
                return known
            assert text is not None
            waiter = _One(text, deadline, self._trace(traceparent))
            self._submit(project, token, (waiter,))
        if not waiter.lock.acquire(timeout=deadline - started + _GRACE_S):
            raise _overdue()
        engine.counters.observe("resolve_seconds", now() - started)
        outcome = outcome_of(id, waiter.outcome)
        if isinstance(outcome, AkaError):
            raise outcome
        return outcome

    def resolve_or_unchanged(
        self,
        project: int,
        id: AnyStr,
        *,
        token: str = "",
        timeout_ms: int | None = None,
        traceparent: str | None = None,
    ) -> AnyStr:
        """The id to store an event under. If that could not be found out, it is the id itself.

        **Such an event may be stored under the wrong person.** It is counted (`unchanged` in `stats`). That
        is for `Unavailable`, `DeadlineExceeded` and `QueueFull`; `Refused` and `Closed` are faults of the
        program or its settings, and are raised.
        """
        try:
            return self.resolve(
                project, id, token=token, timeout_ms=timeout_ms, traceparent=traceparent
            ).canonical
        except (Unavailable, DeadlineExceeded, QueueFull):
            with self._driver:
                self._engine.counters.add("unchanged")
                return id

    def resolve_many(
        self,
        project: int,
        ids: Sequence[AnyStr],
        *,
        token: str = "",
        timeout_ms: int | None = None,
        traceparent: str | None = None,
    ) -> list[Resolved[AnyStr] | AkaError]:
        """Resolves many ids of one project: one outcome for each, in order.

        The error of an id is returned in its place, not raised. If the queue has room for the first id, the
        others wait for theirs.

        Raises:
            Refused: If the project or the token cannot be sent.
            QueueFull: If too many ids wait already.
            Closed: If the client was closed.

        """
        if isinstance(ids, (str, bytes)):
            raise TypeError("ids is a sequence of ids, not one id")
        check_project(project)
        check_token(token)
        texts = [text_of(id) for id in ids]
        started = now()
        deadline = self._deadline(started, timeout_ms)
        many = _Many(len(texts))
        outcomes = many.outcomes
        with self._driver:
            trace = self._trace(traceparent)
            slots = []
            for index, (id, text) in enumerate(zip(ids, texts, strict=True)):
                known = self._known(project, id, text, token, started)
                if known is not None or text is None:
                    outcomes[index] = known
                else:
                    slots.append(_Slot(text, deadline, trace, many, index))
            many.left = len(slots)
            if slots:
                self._submit(project, token, slots)
        if slots and not many.lock.acquire(timeout=deadline - started + _GRACE_S):
            raise _overdue()
        return [outcome_of(id, outcome) for id, outcome in zip(ids, outcomes, strict=True)]

    # ------------------------------------------------------------------------------------ writes

    def create_alias(
        self,
        project: int,
        alias_id: str,
        canonical_id: str,
        *,
        dry_run: bool = False,
        timeout_ms: int | None = None,
        traceparent: str | None = None,
    ) -> Created:
        """Makes `alias_id` an alias of `canonical_id`. Safe to repeat.

        If `canonical_id` is an alias itself, it is followed.

        Raises:
            Refused: For each reason that the protocol names, such as `ALIAS_TAKEN`.
            AkaError: As `resolve`. The write happened whole or not at all.

        """
        new = NewAlias(project, alias_id, canonical_id, dry_run)
        return self._run(admin.create(new), timeout_ms, traceparent)

    def create_aliases(
        self, news: Iterable[NewAlias], *, timeout_ms: int | None = None, traceparent: str | None = None
    ) -> BatchCreated:
        """Creates up to 1,000 aliases, each with its own result. Not atomic; safe to repeat."""
        return self._run(admin.batch_create(news), timeout_ms, traceparent)

    def get_alias(
        self, project: int, alias_id: str, *, timeout_ms: int | None = None, traceparent: str | None = None
    ) -> Alias:
        """Reads an alias from the primary database. `Refused` (`ALIAS_NOT_FOUND`) if there is none."""
        return self._run(admin.get(project, alias_id), timeout_ms, traceparent)

    def update_alias(
        self,
        project: int,
        alias_id: str,
        canonical_id: str,
        expected_version: int,
        *,
        timeout_ms: int | None = None,
        traceparent: str | None = None,
    ) -> Updated:
        """Points an alias at another canonical id, if it still has the version that you saw."""
        request = admin.update(project, alias_id, canonical_id, expected_version)
        return self._run(request, timeout_ms, traceparent)

    def delete_alias(
        self,
        project: int,
        alias_id: str,
        expected_version: int = 0,
        *,
        timeout_ms: int | None = None,
        traceparent: str | None = None,
    ) -> str:
        """Removes an alias, and returns the token of that. Version 0 means any version.

        After `Unavailable` or `DeadlineExceeded` it is not known whether it is removed: it is not repeated.
        """
        return self._run(admin.delete(project, alias_id, expected_version), timeout_ms, traceparent)

    def list_aliases(
        self,
        project: int,
        canonical_id: str,
        *,
        page_size: int = 1000,
        timeout_ms: int | None = None,
        traceparent: str | None = None,
    ) -> Iterator[Alias]:
        """All aliases of a canonical id, in the byte order of `alias_id`. Each page has its own timeout."""
        page_token, seen = "", set[str]()
        while True:
            request = admin.list_page(project, canonical_id, page_size, page_token)
            page = self._run(request, timeout_ms, traceparent)
            yield from page.aliases
            if not page.next_page_token:
                return
            page_token = self._next_page(seen, page.next_page_token)

    def _run(self, request: admin.Request[_T], timeout_ms: int | None, traceparent: str | None) -> _T:
        engine, started = self._engine, now()
        deadline = self._deadline(started, timeout_ms)
        answer: list[bytes | AkaError] = []
        arrived = threading.Event()

        def reply(outcome: bytes | AkaError) -> None:
            if request.is_write:
                engine.cache.wrote(now())
            answer.append(outcome)
            arrived.set()

        with self._driver:
            if request.is_write:
                engine.cache.wrote(started)
            trace = self._trace(traceparent)
            engine.call(AdminJob(request.method, request.message, deadline, trace, reply, request.may_repeat))
        if not arrived.wait(deadline - started + _GRACE_S):
            raise _overdue()
        if isinstance(answer[0], AkaError):
            raise answer[0]
        return request.parse(answer[0])

    # -------------------------------------------------------------------------------------- life

    def session(self, token: str = "") -> Session:
        """Reads that see the writes of the same session. `token` is what another session handed on."""
        return Session(self, token)

    def stats(self) -> dict[str, int]:
        """All counts so far. `aka_client.metrics.NAMES` says what they are."""
        with self._driver:
            return dict(self._engine.counters.values)

    def close(self, timeout_ms: int | None = None) -> None:
        """Takes no more calls, waits for those under way, and ends the connections.

        It waits for `timeout_ms` (if not given, a little more than the timeout of calls). What is under way
        then fails with `Closed`. To close it again does nothing.
        """
        engine, driver = self._engine, self._driver
        with driver:
            engine.close("the client was closed")
            engine.on_idle = self._idle.set
            engine.check_idle()
        wait_ms = self.options.timeout_ms + 500 if timeout_ms is None else timeout_ms
        self._idle.wait(wait_ms / 1000)
        driver.enter(engine.stop)
        driver.stop()
