"""Sends requests until they are answered: retries, hedges, deadlines, and what failures say of endpoints."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable
from functools import partial

from ..metrics import Counters
from ..options import Options
from . import failures
from .budget import HedgeBudget, RetryBudget
from .driver import Cancellable, Driver, Metadata, Reply
from .endpoints import Endpoints
from .failures import Failure
from .jobs import Attempt, Job

_FIRST_PAUSE_S = 0.025
_LONGEST_PAUSE_S = 0.5
_ANY_NUMBER = 1 << 30
# The server says that it has not begun with the request, and others are there for it.
_LEAVES = frozenset(("SHUTTING_DOWN",))

_log = logging.getLogger("aka_client")


class Sender:
    """Owns the requests that were made, until they are answered or failed."""

    def __init__(
        self,
        options: Options,
        endpoints: Endpoints,
        driver: Driver,
        counters: Counters,
        effect: Callable[[Callable[[], None]], None],
        metadata: Callable[[], Metadata],
    ) -> None:
        self._options = options
        self._endpoints = endpoints
        self._driver = driver
        self._counters = counters
        self._effect = effect
        self._metadata = metadata
        # After this time without an answer, an endpoint is suspected.
        self._patience_s = min(options.timeout_ms, options.connect_timeout_ms) / 2000
        self._retry_budget = RetryBudget()
        self._hedge_budget = HedgeBudget()
        # Wait for an endpoint that is up and has room.
        self._waiting: deque[Job] = deque()
        self._open: set[Job] = set()
        self._outage_timer: Cancellable | None = None
        # Called when there is room for another batch.
        self.on_room: Callable[[], None] = lambda: None
        # Called when a request has ended.
        self.on_settled: Callable[[], None] = lambda: None
        # Asked after UNAUTHENTICATED: is there another token than the one that was sent?
        self.has_new_token: Callable[[], bool] = lambda: False
        endpoints.on_up = self._came_up
        endpoints.on_all_down = self._went_down

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""
        return not self._open

    def jobs(self) -> list[Job]:
        """The open requests."""
        return list(self._open)

    def is_outage(self) -> bool:
        """Whether no endpoint has answered for so long that requests fail at once."""
        since = self._endpoints.down_since
        return since is not None and self._driver.now() >= since + self._options.connect_timeout_ms / 1000

    def has_room(self) -> bool:
        """Whether a new batch would be sent (or failed) at once."""
        return not self._waiting and (
            self._endpoints.has_room(self._options.max_in_flight) or self.is_outage()
        )

    def lateness(self) -> Failure:
        """Why an id that was not sent is late."""
        if not self._endpoints.is_any_up():
            return self._endpoints.none_answers()
        return failures.late("the id waited for its turn until the timeout passed")

    def send(self, job: Job) -> None:
        """Takes a new request over."""
        self._take(job)
        self._send(job)

    def repeat(self, job: Job, failure: Failure) -> None:
        """Takes over what is left of a request: items of it failed."""
        self._take(job)
        job.last_failure = failure
        self._failed(job, failure)

    def _take(self, job: Job) -> None:
        self._open.add(job)
        wait_s = max(0.0, job.first_deadline - self._driver.now())
        job.deadline_timer = self._driver.later(wait_s, partial(self._expire, job))

    def _send(self, job: Job, is_hedge: bool = False) -> None:
        most = self._options.max_in_flight if job.is_batch else _ANY_NUMBER
        endpoint = self._endpoints.pick(job.tried, most)
        if endpoint is None:
            if self.is_outage():
                self._fail(job, job.last_failure or self._endpoints.none_answers())
            elif job not in self._waiting:
                self._waiting.append(job)
            return
        attempt = Attempt(job, endpoint, self._driver.now(), is_hedge)
        endpoint.in_flight += 1
        job.tried.add(endpoint)
        job.open.append(attempt)
        self._counters.add("batches" if job.is_batch else "admin_calls")
        self._effect(partial(self._begin, attempt))
        after_ms = self._options.hedge_after_ms
        if job.is_batch and not is_hedge and not job.retries:
            self._hedge_budget.sent()
            if after_ms is not None:
                job.hedge_timer = self._driver.later(after_ms / 1000, partial(self._hedge, job))

    def _begin(self, attempt: Attempt) -> None:
        """Puts a request on the wire. Runs outside of the lock."""
        job = attempt.job
        channel = attempt.endpoint.channel
        if attempt.done:
            return
        metadata = self._metadata()
        if job.trace:
            metadata = (*metadata, ("traceparent", job.trace))
        # A little longer than the client's own timer, which says more.
        timeout_s = max(0.001, job.deadline - self._driver.now() + 0.05)
        done = partial(self._ended, attempt)
        try:
            call = self._driver.call(channel, job.method, job.encode(), timeout_s, metadata, False, done)
        except Exception as error:
            # A channel that was closed meanwhile, or a fault in here: nobody may wait for it in vain.
            _log.debug("a call could not be made", exc_info=True)
            reply = Reply(failures.UNAVAILABLE, b"", f"the call could not be made: {error!r}")
            self._driver.later(0, partial(self._ended, attempt, reply))
            return
        attempt.call = call
        if attempt.done:
            call.cancel()

    # ---------------------------------------------------------------------------------- the ends

    def _ended(self, attempt: Attempt, reply: Reply) -> None:
        if attempt.done:
            return
        self._release(attempt)
        job, endpoint = attempt.job, attempt.endpoint
        self._counters.observe("call_seconds", self._driver.now() - attempt.sent_at)
        if reply.code == failures.OK:
            self._retry_budget.succeeded()
            if attempt.is_hedge and not job.done:
                self._counters.add("hedges_won")
            if not job.done:
                job.answered(reply.body, attempt.sent_at)
                self._settle(job)
        else:
            failure = failures.of_status(reply.code, reply.message, reply.details)
            if failure.is_of_transport or failure.reason in _LEAVES:
                self._endpoints.failed(endpoint)
            if not job.done:
                job.last_failure = failure
                # Another attempt that is still out may succeed.
                if not job.open:
                    self._failed(job, failure)
        self.pump()

    def _failed(self, job: Job, failure: Failure) -> None:
        if failure.code == failures.UNAUTHENTICATED and not job.asked_for_token and self.has_new_token():
            # The token was replaced between two looks at its file.
            job.asked_for_token = True
            self._send(job)
            return
        if not job.may_repeat(failure) or job.retries >= self._options.retries:
            self._fail(job, failure)
            return
        pause_s = random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(job.retries, 10)))
        if failure.reason in _LEAVES or (failure.is_of_transport and self._has_other(job)):
            pause_s = 0.0
        elif failure.retry_after_s is not None:
            # Not before the server says, and not all at once then.
            pause_s += failure.retry_after_s
        if self._driver.now() + pause_s >= job.deadline:
            self._fail(job, failure)
            return
        if not self._retry_budget.take():
            self._counters.add("retries_forgone")
            self._fail(job, failure)
            return
        job.retries += 1
        self._counters.add("retries")
        if pause_s:
            job.pause_timer = self._driver.later(pause_s, partial(self._pause_over, job))
        else:
            self._send(job)

    def _has_other(self, job: Job, most_in_flight: int = _ANY_NUMBER) -> bool:
        return any(e.up and e.in_flight < most_in_flight and e not in job.tried for e in self._endpoints)

    def _pause_over(self, job: Job) -> None:
        job.pause_timer = None
        if not job.done:
            self._send(job)
            self.pump()

    def _hedge(self, job: Job) -> None:
        job.hedge_timer = None
        if job.done or not job.open or not self._has_other(job, self._options.max_in_flight):
            return
        if self._hedge_budget.take():
            self._counters.add("hedges")
            self._send(job, is_hedge=True)

    def _expire(self, job: Job) -> None:
        job.deadline_timer = None
        if job.done:
            return
        now = self._driver.now()
        next_at = job.expire(now, self._lateness(job))
        if next_at is not None:
            job.deadline_timer = self._driver.later(max(0.0, next_at - now), partial(self._expire, job))
            return
        for attempt in job.open:
            # It may be frozen, or cut off. If it is only slow, the probe is soon answered.
            if now - attempt.sent_at >= self._patience_s:
                self._endpoints.failed(attempt.endpoint)
        self._settle(job)
        self.pump()

    def _lateness(self, job: Job) -> Failure:
        if job.last_failure is not None:
            return job.last_failure
        if not job.open and not self._endpoints.is_any_up():
            return self._endpoints.none_answers()
        return failures.late("there was no answer within the timeout")

    def _fail(self, job: Job, failure: Failure) -> None:
        job.failed(failure)
        self._settle(job)

    def stop(self, failure: Failure) -> None:
        """Fails all that is open."""
        if self._outage_timer is not None:
            self._outage_timer.cancel()
        self._waiting.clear()
        for job in list(self._open):
            self._fail(job, failure)

    def _settle(self, job: Job) -> None:
        """Nobody waits for the request any more."""
        job.done = True
        self._open.discard(job)
        for timer in (job.deadline_timer, job.pause_timer, job.hedge_timer):
            if timer is not None:
                timer.cancel()
        for attempt in list(job.open):
            self._release(attempt)
            if attempt.call is not None:
                self._effect(attempt.call.cancel)
        self.on_settled()

    def _release(self, attempt: Attempt) -> None:
        attempt.done = True
        attempt.job.open.remove(attempt)
        self._endpoints.released(attempt.endpoint)

    # ------------------------------------------------------------------------------------- room

    def pump(self) -> None:
        """Sends what waited for room."""
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            if not job.done:
                self._send(job)
        self.on_room()

    def _came_up(self) -> None:
        if self._outage_timer is not None:
            self._outage_timer.cancel()
            self._outage_timer = None
        self.pump()

    def _went_down(self) -> None:
        if self._outage_timer is None:
            wait_s = self._options.connect_timeout_ms / 1000 + 0.001
            self._outage_timer = self._driver.later(wait_s, self._outage_begins)

    def _outage_begins(self) -> None:
        self._outage_timer = None
        if self.is_outage():
            self.pump()
        elif self._endpoints.down_since is not None:
            self._went_down()
