"""The options of a client, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

WhenFull = Literal["error", "wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a client behaves. Times are in milliseconds."""

    timeout_ms: int = 1000
    """How long a call may take, all repeats included."""
    connect_timeout_ms: int = 1000
    """How long a connection may take. Also: for how long calls wait if no endpoint answers, before they
    fail at once."""
    linger_ms: int = 0
    """How long the first id of a batch waits for others, although nothing is under way."""
    max_batch: int = 512
    """The most ids of one request. The server takes 10,000."""
    max_queue: int = 10_000
    """The most ids that wait to be sent."""
    when_full: WhenFull = "error"
    """What happens to an id for which the queue has no room: `QueueFull` at once, or it waits for room."""
    max_in_flight: int = 4
    """The most batches under way at one endpoint."""
    retries: int = 3
    """How often a request is sent again. The pauses have full jitter, from 25 up to 500 ms."""
    hedge_after_ms: int | None = None
    """After which time without an answer a batch goes to a second endpoint too: 5 % of all at most."""
    cache_entries: int = 0
    """How many answers are remembered."""
    staleness_ms: int = 1000
    """How old a remembered answer may be, counted from when its request was sent."""
    token_file: str | os.PathLike[str] | None = None
    """A file with a bearer token. It is read again when it changes."""
    ca: str | os.PathLike[str] | None = None
    """The authorities of the server's certificate, in PEM. Naming one turns TLS on."""
    cert: str | os.PathLike[str] | None = None
    """The certificate that the client shows, in PEM."""
    key: str | os.PathLike[str] | None = None
    """The private key of that certificate, in PEM."""

    def __post_init__(self) -> None:
        within = (
            ("timeout_ms", self.timeout_ms, 1, 3_600_000),
            ("connect_timeout_ms", self.connect_timeout_ms, 100, 60_000),
            ("linger_ms", self.linger_ms, 0, self.timeout_ms),
            ("max_batch", self.max_batch, 1, 10_000),
            ("max_queue", self.max_queue, 1, 10_000_000),
            ("max_in_flight", self.max_in_flight, 1, 1_000),
            ("retries", self.retries, 0, 100),
            ("cache_entries", self.cache_entries, 0, 100_000_000),
            ("staleness_ms", self.staleness_ms, 0, 3_600_000),
        )
        for name, value, least, most in within:
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} is {value!r}, not a whole number from {least} to {most}")
        hedge = self.hedge_after_ms
        if hedge is not None and (isinstance(hedge, bool) or not isinstance(hedge, int) or hedge < 1):
            raise ValueError(f"hedge_after_ms is {hedge!r}, not None or a whole number from 1")
        if self.when_full not in ("error", "wait"):
            raise ValueError(f"when_full is {self.when_full!r}, not 'error' or 'wait'")
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: name both or none")
