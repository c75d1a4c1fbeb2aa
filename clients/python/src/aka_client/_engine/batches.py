"""Ids on their way: lanes, in which they gather, and batches, in which they are sent."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from google.protobuf.message import DecodeError

from .._proto.aka.v1 import resolver_pb2
from ..answers import Resolved
from . import failures
from .driver import Cancellable
from .failures import Failure
from .jobs import Job, Waiter

BATCH_RESOLVE = "/aka.v1.Resolver/BatchResolve"


class Lane:
    """The ids that can be sent together: those of one project and one token."""

    __slots__ = ("blocked", "due", "expiry", "expiry_at", "project", "timer", "token", "under_way", "waiting")

    def __init__(self, project: int, token: str) -> None:
        self.project = project
        self.token = token
        self.waiting: deque[Waiter] = deque()
        # Batches of this lane that are sent and not answered.
        self.under_way = 0
        # It has gathered long enough.
        self.due = False
        self.timer: Cancellable | None = None
        # It is in the queue of lanes that wait for room.
        self.blocked = False
        # Looks for ids that have waited too long.
        self.expiry: Cancellable | None = None
        self.expiry_at = float("inf")


class BatchOwner(Protocol):
    """Who makes batches, and hears of their ends."""

    def settle(self, waiter: Waiter, outcome: Resolved[str], lane: Lane, sent_at: float) -> None:
        """An id was answered."""

    def refuse(self, waiter: Waiter, failure: Failure) -> None:
        """An id failed."""

    def count(self, aliases: int, not_aliases: int, degraded: bool) -> None:
        """So many ids of a batch were answered."""

    def repeat_items(self, batch: Batch, waiters: list[Waiter], failure: Failure) -> None:
        """Some ids of a batch failed in a way that may pass."""

    def batch_ended(self, batch: Batch) -> None:
        """All ids of a batch are answered, failed or handed to another batch."""


class Batch(Job):
    """Some ids of one lane."""

    method = BATCH_RESOLVE
    is_batch = True

    def __init__(self, lane: Lane, waiters: list[Waiter], owner: BatchOwner) -> None:
        deadlines = [waiter.deadline for waiter in waiters]
        # Several traces meet in a batch, and a request can name one of them.
        super().__init__(max(deadlines), next((w.trace for w in waiters if w.trace), ""))
        self.first_deadline = min(deadlines)
        self.lane = lane
        self.waiters = waiters
        self._owner = owner
        self._encoded: bytes | None = None

    def encode(self) -> bytes:
        """The message."""
        if self._encoded is None:
            request = resolver_pb2.BatchResolveRequest(
                project_id=self.lane.project,
                distinct_ids=[waiter.id for waiter in self.waiters],
                consistency_token=self.lane.token,
            )
            self._encoded = request.SerializeToString()
        return self._encoded

    def answered(self, body: bytes, sent_at: float) -> None:
        """The message of the answer. It is sparse: an index that it does not name resolves to itself."""
        waiters, owner, lane = self.waiters, self._owner, self.lane
        try:
            response = resolver_pb2.BatchResolveResponse.FromString(body)
            aliases = {item.index: item.canonical_id for item in response.aliases}
            failed = {item.index: failures.of_item(item) for item in response.failures}
        except DecodeError:
            self.failed(Failure(failures.INTERNAL, "the answer cannot be read; is this an aka?"))
            return
        if any(index >= len(waiters) for index in (*aliases, *failed)):
            self.failed(Failure(failures.INTERNAL, "the answer names an id that was not asked for"))
            return
        degraded = response.degraded
        found = others = 0
        again: dict[tuple[int, str], tuple[Failure, list[Waiter]]] = {}
        for index, waiter in enumerate(waiters):
            if waiter.done:
                continue
            if index in failed:
                failure = failed[index]
                if failure.may_pass:
                    again.setdefault((failure.code, failure.reason), (failure, []))[1].append(waiter)
                else:
                    owner.refuse(waiter, failure)
            elif index in aliases:
                found += 1
                owner.settle(waiter, Resolved(aliases[index], True, degraded), lane, sent_at)
            else:
                others += 1
                owner.settle(waiter, Resolved(waiter.id, False, degraded), lane, sent_at)
        owner.count(found, others, degraded)
        for failure, rest in again.values():
            owner.repeat_items(self, rest, failure)
        self._end()

    def failed(self, failure: Failure) -> None:
        """It will not be sent again."""
        for waiter in self.waiters:
            if not waiter.done:
                self._owner.refuse(waiter, failure)
        self._end()

    def expire(self, now: float, failure: Failure) -> float | None:
        """Fails the ids that have waited long enough."""
        next_at = None
        for waiter in self.waiters:
            if waiter.done:
                continue
            if waiter.deadline <= now:
                self._owner.refuse(waiter, failure)
            elif next_at is None or waiter.deadline < next_at:
                next_at = waiter.deadline
        if next_at is None:
            self._end()
        return next_at

    def _end(self) -> None:
        if not self.done:
            self.done = True
            self._owner.batch_ended(self)
