"""What this client counts, and the hook through which a program takes the counts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger("aka_client")

NAMES = (
    "ids",  # ids that were asked for
    "aliases",  # of these, answered: is an alias
    "not_aliases",  # of these, answered: is none
    "degraded",  # of these, answered with the last known state
    "echoed",  # of these, answered by the client: no alias can have such an id
    "cache_hits",  # of these, answered from the cache
    "unavailable",  # of these, failed with Unavailable
    "deadline_exceeded",  # of these, failed with DeadlineExceeded
    "refused",  # of these, failed with Refused
    "queue_full",  # of these, failed with QueueFull
    "closed",  # of these, failed with Closed
    "unchanged",  # failures that resolve_or_unchanged answered with the id itself
    "batches",  # requests for ids that were sent, repeats included
    "admin_calls",  # requests of other kinds that were sent, repeats included
    "retries",  # requests that were sent again
    "retries_forgone",  # not sent again, because the retry budget was spent
    "hedges",  # requests that were sent to a second endpoint
    "hedges_won",  # of these, answered first
    "endpoints_down",  # endpoints that were marked down
    "endpoints_up",  # endpoints that answered a probe
    "traces_dropped",  # traceparents that are not of their form
)
"""The names of all counts."""


class Metrics(Protocol):
    """What a program hands to the client to have its counts and latencies.

    The methods are called from threads of the client (or in the event loop), must not block, and must not
    call the client. What they raise is logged and forgotten. No name or value holds an id.
    """

    def count(self, name: str, n: int) -> None:
        """`n` more of `name`. The names are in `NAMES`."""

    def observe(self, name: str, seconds: float) -> None:
        """A latency: `call_seconds` of one request to one endpoint, `resolve_seconds` of one `resolve`."""


class Counters:
    """The counts of one client. They are changed under the client's lock only."""

    def __init__(self, hook: Metrics | None, later: Callable[[Callable[[], None]], None]) -> None:
        self.values = dict.fromkeys(NAMES, 0)
        self._hook = hook
        # Runs the hook outside of the client's lock.
        self._later = later

    def add(self, name: str, n: int = 1) -> None:
        """Counts `n` of `name`."""
        self.values[name] += n
        hook = self._hook
        if hook is not None and n:
            self._later(lambda: _guarded(hook.count, name, n))

    def observe(self, name: str, seconds: float) -> None:
        """Hands on a latency."""
        hook = self._hook
        if hook is not None:
            self._later(lambda: _guarded(hook.observe, name, seconds))


def _guarded(function: Callable[..., None], *arguments: object) -> None:
    try:
        function(*arguments)
    except Exception:
        _log.exception("a metrics hook failed")
