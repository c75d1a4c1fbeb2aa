"""The errors of this client.

No error holds the id that was asked for, so that none can be taken for an answer.
"""

from __future__ import annotations

from collections.abc import Mapping


class AkaError(Exception):
    """What all errors of this client have in common.

    `code` is the name of a gRPC status, or empty if the client itself found the error. `reason` is a word
    for programs, such as `ALIAS_TAKEN`; the protocol lists them. `metadata` belongs to the reason.
    `retry_after_ms` is how long the server asks to wait, or `None`.
    """

    code: str
    reason: str
    metadata: dict[str, str]
    retry_after_ms: int | None

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        words = " ".join(word for word in (self.code, self.reason) if word)
        message = str(self.args[0]) if self.args else ""
        return f"{words}: {message}" if words else message


class Unavailable(AkaError):
    """It could not be found out, or it is not known whether it was done. Repeating it may help."""


class DeadlineExceeded(AkaError):
    """The timeout passed before there was an answer."""


class Refused(AkaError):
    """The server refuses the request as it is. Repeating it does not help. See `reason`."""


class QueueFull(AkaError):
    """As many ids wait as may (`max_queue`). The request was not sent."""


class Closed(AkaError):
    """The client was closed, or belongs to the process that this one was forked from."""
