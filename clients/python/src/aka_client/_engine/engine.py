"""The engine: takes ids, gathers them into batches, and hands each its answer.

Two lists bound what it holds: `max_queue` ids wait to be sent, and `max_in_flight` batches are under way at
each endpoint. All methods are called under the driver's lock, and none of them waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from .. import errors
from ..answers import Resolved
from ..metrics import Counters, Metrics
from ..options import Options
from . import failures
from .addresses import Server
from .batches import Batch, Lane
from .cache import Cache
from .credentials import TokenFile
from .driver import Cancellable, Driver, Metadata
from .endpoints import Endpoints
from .failures import Failure
from .jobs import AdminJob, Waiter
from .sender import Sender

# A batch grows while another one of its lane is under way, but no longer than this: one that is stuck does
# not hold up those behind it.
GROW_AT_MOST_S = 0.02

_COUNTS: dict[type[errors.AkaError], str] = {
    errors.Unavailable: "unavailable",
    errors.DeadlineExceeded: "deadline_exceeded",
    errors.Refused: "refused",
    errors.QueueFull: "queue_full",
    errors.Closed: "closed",
}


class Engine:
    """Owns the queue of ids, and the cache."""

    def __init__(
        self,
        servers: list[Server],
        options: Options,
        driver: Driver,
        effects: deque[Callable[[], None]],
        metrics: Metrics | None,
    ) -> None:
        self.options = options
        self.counters = Counters(metrics, effects.append)
        self.cache = Cache(options.cache_entries, options.staleness_ms / 1000)
        self._driver = driver
        self._token_file = TokenFile(options.token_file, driver.now)
        self._endpoints = Endpoints(
            servers,
            options.connect_timeout_ms / 1000,
            driver,
            self.counters,
            effects.append,
            self._metadata,
        )
        self._sender = Sender(options, self._endpoints, driver, self.counters, effects.append, self._metadata)
        self._sender.on_room = self._room
        self._sender.on_settled = self.check_idle
        self._sender.has_new_token = self._token_file.is_new
        self._started = False
        self.closed: str | None = None
        self._lanes: dict[tuple[int, str], Lane] = {}
        self._blocked: deque[Lane] = deque()
        # Ids that are in lanes.
        self._queued = 0
        # Ids that wait for room in the queue.
        self._parked: deque[tuple[int, str, Waiter]] = deque()
        self._parked_expiry: Cancellable | None = None
        self._parked_expiry_at = float("inf")
        self._linger_s = options.linger_ms / 1000
        self.on_idle: Callable[[], None] | None = None

    def _metadata(self) -> Metadata:
        return self._token_file.metadata()

    def _start(self) -> None:
        if self.closed is not None:
            raise errors.Closed(self.closed)
        if not self._started:
            self._started = True
            self._endpoints.start()

    # --------------------------------------------------------------------------------------- in

    def submit(self, project: int, token: str, waiters: Iterable[Waiter]) -> None:
        """Takes ids of one lane. They are accepted or refused together.

        Raises:
            Closed: If the client was closed.
            QueueFull: If the queue is full, and the options do not say to wait.

        """
        self._start()
        options = self.options
        if self._queued >= options.max_queue and options.when_full == "error":
            raise errors.QueueFull(f"{self._queued} ids wait already, and max_queue is {options.max_queue}")
        lane = self._lanes.get((project, token))
        if lane is None:
            lane = self._lanes[(project, token)] = Lane(project, token)
        for waiter in waiters:
            if self._parked or self._queued >= options.max_queue:
                self._park(project, token, waiter)
            else:
                self._enqueue(lane, waiter)
        if lane.waiting or not lane.under_way:
            self._pump_lane(lane)

    def call(self, job: AdminJob) -> None:
        """Takes a call of the admin service.

        Raises:
            Closed: If the client was closed.

        """
        self._start()
        self._sender.send(job)

    def _enqueue(self, lane: Lane, waiter: Waiter) -> None:
        lane.waiting.append(waiter)
        self._queued += 1
        if waiter.deadline < lane.expiry_at:
            self._watch(lane, waiter.deadline)

    def _park(self, project: int, token: str, waiter: Waiter) -> None:
        self._parked.append((project, token, waiter))
        if waiter.deadline < self._parked_expiry_at:
            self._watch_parked(waiter.deadline)

    # ---------------------------------------------------------------------------------- batches

    def _pump_lane(self, lane: Lane) -> None:
        """Sends what the lane has gathered, if it is time and there is room."""
        most = self.options.max_batch
        while lane.waiting:
            if len(lane.waiting) < most and not lane.due:
                wait_s = max(GROW_AT_MOST_S, self._linger_s) if lane.under_way else self._linger_s
                if wait_s:
                    if lane.timer is None:
                        lane.timer = self._driver.later(wait_s, partial(self._came_due, lane))
                    return
            if not self._sender.has_room():
                if not lane.blocked:
                    lane.blocked = True
                    self._blocked.append(lane)
                return
            self._send_batch(lane)
        if lane.blocked:
            lane.blocked = False
            self._blocked.remove(lane)
        self._tidy(lane)

    def _came_due(self, lane: Lane) -> None:
        lane.timer = None
        lane.due = True
        self._pump_lane(lane)

    def _send_batch(self, lane: Lane) -> None:
        waiting = lane.waiting
        n = min(len(waiting), self.options.max_batch)
        waiters = [waiting.popleft() for _ in range(n)]
        self._queued -= n
        lane.due = False
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        if not waiting:
            self._unwatch(lane)
        waiters = [waiter for waiter in waiters if not waiter.done]
        if waiters:
            lane.under_way += 1
            self._sender.send(Batch(lane, waiters, self))
        if self._parked:
            self._admit()

    def _room(self) -> None:
        """Lets the lanes that wait for room have their turn, one batch each."""
        for _ in range(len(self._blocked)):
            if not self._sender.has_room():
                return
            lane = self._blocked.popleft()
            lane.blocked = False
            if lane.waiting:
                self._send_batch(lane)
            self._pump_lane(lane)

    def _admit(self) -> None:
        """Lets ids that wait for room into the queue."""
        touched: dict[tuple[int, str], Lane] = {}
        while self._parked and self._queued < self.options.max_queue:
            project, token, waiter = self._parked.popleft()
            if waiter.done:
                continue
            lane = self._lanes.get((project, token))
            if lane is None:
                lane = self._lanes[(project, token)] = Lane(project, token)
            self._enqueue(lane, waiter)
            touched[(project, token)] = lane
        if not self._parked:
            self._watch_parked(None)
        for lane in touched.values():
            # In a turn of its own: this one may be in the middle of sending.
            if lane.timer is None and not lane.blocked:
                lane.timer = self._driver.later(0, partial(self._turn, lane))

    def _turn(self, lane: Lane) -> None:
        lane.timer = None
        self._pump_lane(lane)

    def _tidy(self, lane: Lane) -> None:
        """Forgets a lane without ids: each token has one of its own."""
        if not lane.waiting and not lane.under_way and not lane.blocked and lane.timer is None:
            self._unwatch(lane)
            if self._lanes.get((lane.project, lane.token)) is lane:
                del self._lanes[(lane.project, lane.token)]

    # ---------------------------------------------------------------------------- what batches say

    def settle(self, waiter: Waiter, outcome: Resolved[str], lane: Lane, sent_at: float) -> None:
        """An id was answered."""
        waiter.done = True
        if self.cache.is_on and not lane.token and not outcome.degraded:
            self.cache.put(lane.project, waiter.id, outcome, sent_at)
        waiter.complete(outcome)

    def refuse(self, waiter: Waiter, failure: Failure) -> None:
        """An id failed."""
        waiter.done = True
        error = failure.error()
        self.failed(error)
        waiter.complete(error)

    def repeat_items(self, batch: Batch, waiters: list[Waiter], failure: Failure) -> None:
        """Some ids of a batch failed in a way that may pass."""
        rest = Batch(batch.lane, waiters, self)
        rest.retries, rest.tried = batch.retries, set(batch.tried)
        batch.lane.under_way += 1
        self._sender.repeat(rest, failure)

    def batch_ended(self, batch: Batch) -> None:
        """All ids of a batch are answered, failed or handed to another batch."""
        lane = batch.lane
        lane.under_way -= 1
        if lane.waiting and not lane.blocked:
            # The batch has grown while this one was under way. Lanes that wait longer come first.
            lane.blocked = True
            self._blocked.append(lane)
        self._tidy(lane)

    def count(self, aliases: int, not_aliases: int, degraded: bool) -> None:
        """So many ids of a batch were answered."""
        add = self.counters.add
        add("aliases", aliases)
        add("not_aliases", not_aliases)
        if degraded:
            add("degraded", aliases + not_aliases)

    def failed(self, error: errors.AkaError, n: int = 1) -> None:
        """Ids failed with this error."""
        self.counters.add(_COUNTS.get(type(error), "unavailable"), n)

    # ----------------------------------------------------------------------------------- timeouts

    def _watch(self, lane: Lane, at: float) -> None:
        if lane.expiry is not None:
            lane.expiry.cancel()
        lane.expiry_at = at
        wait_s = max(0.0, at - self._driver.now())
        lane.expiry = self._driver.later(wait_s, partial(self._expire_lane, lane))

    def _unwatch(self, lane: Lane) -> None:
        if lane.expiry is not None:
            lane.expiry.cancel()
            lane.expiry = None
        lane.expiry_at = float("inf")

    def _expire_lane(self, lane: Lane) -> None:
        lane.expiry, lane.expiry_at = None, float("inf")
        now = self._driver.now()
        late = [waiter for waiter in lane.waiting if waiter.deadline <= now]
        lane.waiting = deque(waiter for waiter in lane.waiting if waiter.deadline > now)
        self._queued -= len(late)
        failure = self._sender.lateness()
        for waiter in late:
            if not waiter.done:
                self.refuse(waiter, failure)
        if lane.waiting:
            self._watch(lane, min(waiter.deadline for waiter in lane.waiting))
        self._tidy(lane)
        self._admit()
        self.check_idle()

    def _expire_parked(self) -> None:
        now = self._driver.now()
        parked = self._parked
        self._parked = deque(entry for entry in parked if entry[2].deadline > now)
        failure = self._sender.lateness()
        for _, _, waiter in parked:
            if waiter.deadline <= now and not waiter.done:
                self.refuse(waiter, failure)
        self._watch_parked(min((entry[2].deadline for entry in self._parked), default=None))
        self.check_idle()

    def _watch_parked(self, at: float | None) -> None:
        if self._parked_expiry is not None:
            self._parked_expiry.cancel()
            self._parked_expiry = None
        self._parked_expiry_at = float("inf") if at is None else at
        if at is not None:
            wait_s = max(0.0, at - self._driver.now())
            self._parked_expiry = self._driver.later(wait_s, self._expire_parked)

    # ---------------------------------------------------------------------------------------- end

    def check_idle(self) -> None:
        """Tells who closes the client once nothing is under way."""
        if self.on_idle is not None and self.is_idle:
            on_idle, self.on_idle = self.on_idle, None
            on_idle()

    @property
    def is_started(self) -> bool:
        """Whether it has connected to anything."""
        return self._started

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._queued and not self._parked and self._sender.is_idle

    def close(self, why: str) -> None:
        """Takes nothing more. What is under way goes on."""
        if self.closed is None:
            self.closed = why

    def stop(self) -> None:
        """Ends what is still under way, and lets the endpoints go."""
        waiters = [waiter for lane in self._lanes.values() for waiter in lane.waiting]
        waiters += [entry[2] for entry in self._parked]
        for lane in self._lanes.values():
            lane.waiting.clear()
            self._unwatch(lane)
        self._parked.clear()
        self._watch_parked(None)
        self._queued = 0
        for job in self._sender.jobs():
            if isinstance(job, Batch):
                waiters += job.waiters
            elif isinstance(job, AdminJob):
                job.end(errors.Closed("the client was closed before there was an answer"))
        for waiter in waiters:
            if not waiter.done:
                waiter.done = True
                closed = errors.Closed("the client was closed before there was an answer")
                self.failed(closed)
                waiter.complete(closed)
        self._sender.stop(failures.unreachable("the client was closed before there was an answer"))
        self._endpoints.stop()
