"""Requests, each of which is sent until it is answered: a batch of ids, or a call of the admin service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import AkaError
from .driver import Cancellable
from .failures import Failure

if TYPE_CHECKING:
    from .endpoints import Endpoint


class Waiter:
    """One id that somebody waits for. Who waits makes a subclass of it."""

    __slots__ = ("deadline", "done", "id", "trace")

    def __init__(self, id: str, deadline: float, trace: str = "") -> None:
        self.id = id
        self.deadline = deadline
        self.trace = trace
        self.done = False

    def complete(self, outcome: object) -> None:
        """Hands over the outcome: a `Resolved[str]` or an `AkaError`. Called once, under the lock."""
        raise NotImplementedError


class Attempt:
    """A request on its way to one endpoint."""

    __slots__ = ("call", "done", "endpoint", "is_hedge", "job", "sent_at")

    def __init__(self, job: Job, endpoint: Endpoint, sent_at: float, is_hedge: bool) -> None:
        self.job = job
        self.endpoint = endpoint
        self.sent_at = sent_at
        self.is_hedge = is_hedge
        self.done = False
        self.call: Cancellable | None = None


class Job:
    """A request with its state. A subclass says what is sent, and who gets the answer."""

    method: str
    # Whether it counts for `max_in_flight`, and may be hedged.
    is_batch = False

    def __init__(self, deadline: float, trace: str) -> None:
        self.deadline = deadline
        # When the first of those who wait has waited long enough.
        self.first_deadline = deadline
        self.trace = trace
        self.done = False
        self.retries = 0
        self.tried: set[Endpoint] = set()
        self.open: list[Attempt] = []
        self.last_failure: Failure | None = None
        self.deadline_timer: Cancellable | None = None
        self.pause_timer: Cancellable | None = None
        self.hedge_timer: Cancellable | None = None
        self.asked_for_token = False

    def encode(self) -> bytes:
        """The message. Called outside of the lock, perhaps more than once."""
        raise NotImplementedError

    def may_repeat(self, failure: Failure) -> bool:
        """Whether it is safe and of use to send it again after this failure."""
        return failure.may_pass

    def answered(self, body: bytes, sent_at: float) -> None:
        """The message of the answer."""
        raise NotImplementedError

    def failed(self, failure: Failure) -> None:
        """It will not be sent again."""
        raise NotImplementedError

    def expire(self, now: float, failure: Failure) -> float | None:
        """Fails those who have waited long enough. Returns when the next one has; `None`: nobody waits."""
        self.failed(failure)
        return None


class AdminJob(Job):
    """A call of the admin service."""

    def __init__(
        self,
        method: str,
        request: bytes,
        deadline: float,
        trace: str,
        reply: Callable[[bytes | AkaError], None],
        may_repeat: Callable[[Failure], bool] | None = None,
    ) -> None:
        super().__init__(deadline, trace)
        self.method = method
        self._request = request
        self._reply = reply
        self._may_repeat = may_repeat

    def encode(self) -> bytes:
        """The message."""
        return self._request

    def may_repeat(self, failure: Failure) -> bool:
        """Whether it is safe and of use to send it again after this failure."""
        return failure.may_pass and (self._may_repeat is None or self._may_repeat(failure))

    def answered(self, body: bytes, sent_at: float) -> None:
        """The message of the answer."""
        self.end(body)

    def failed(self, failure: Failure) -> None:
        """It will not be sent again."""
        if not self.done:
            self.end(failure.error())

    def end(self, outcome: bytes | AkaError) -> None:
        """Hands over the outcome, once."""
        if not self.done:
            self.done = True
            self._reply(outcome)
