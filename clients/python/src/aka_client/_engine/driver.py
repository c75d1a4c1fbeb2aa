"""What the engine asks of the outside world. There is one driver for threads, and one for asyncio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .addresses import Address

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call ended. `body` is the message if `code` is 0."""

    code: int
    body: bytes = b""
    message: str = ""
    details: bytes | None = None


class Cancellable(Protocol):
    """A timer or a call that can be given up."""

    def cancel(self) -> Any:
        """Gives it up. What has happened already stays."""


class Driver(Protocol):
    """Timers, calls and lookups of names. Each `done` and `run` is called under the engine's lock."""

    def now(self) -> float:
        """Seconds of a clock that never goes back, and counts the time that the machine was suspended."""

    def later(self, delay_s: float, run: Callable[[], None]) -> Cancellable:
        """Calls `run` after a time."""

    def connect(self, address: Address) -> Any:
        """A channel to one address. It connects when it is used."""

    def disconnect(self, channel: Any) -> None:
        """Closes a channel."""

    def call(
        self,
        channel: Any,
        method: str,
        request: bytes,
        timeout_s: float,
        metadata: Metadata,
        wait: bool,
        done: Callable[[Reply], None],
    ) -> Cancellable:
        """Sends a request. With `wait` it waits for a connection, up to its timeout."""

    def look_up(self, host: str, done: Callable[[list[str]], None]) -> None:
        """All IP addresses of a name. None if it has none, or the lookup failed."""
