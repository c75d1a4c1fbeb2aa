"""Why a request failed, what that means, and whether another attempt may help."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from .._proto.aka.client import details_pb2
from .._proto.aka.v1 import alias_pb2
from ..errors import AkaError, DeadlineExceeded, Refused, Unavailable

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED = 0, 1, 2, 3, 4
RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 10, 13, 14, 16

_NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)

# Codes of "could not find out". All others refuse the request, but for the deadline.
_TRANSIENT = frozenset((CANCELLED, UNKNOWN, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE))
# Reasons that refuse a request although their code is one of those.
_REFUSALS = frozenset(("TOO_MANY_ALIASES", "VERSION_MISMATCH"))
# What comes from the transport if a connection breaks or cannot be made.
OF_TRANSPORT = frozenset((CANCELLED, UNKNOWN, INTERNAL, UNAVAILABLE))
# The items of a batch have no RetryInfo. With these reasons, an operator must act.
_NO_HELP = frozenset(("SHARD_FULL", "SHARD_REFUSED", "INTERNAL"))


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request, or a failed item of a batch."""

    code: int
    message: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    # Whether it is one item of a batch.
    is_item: bool = False

    @property
    def is_of_transport(self) -> bool:
        """Whether no aka gave this answer: the connection broke, or could not be made."""
        return self.code in OF_TRANSPORT and not self.reason and not self.is_item

    @property
    def is_refusal(self) -> bool:
        """Whether the request is at fault, or the rights of its sender."""
        if self.reason in _REFUSALS:
            return True
        return self.code not in _TRANSIENT and self.code != DEADLINE_EXCEEDED

    @property
    def may_pass(self) -> bool:
        """Whether another attempt may help."""
        if self.is_refusal or self.code == DEADLINE_EXCEEDED:
            return False
        if not self.reason:
            return True
        if self.is_item:
            return self.reason not in _NO_HELP
        return self.retry_after_s is not None

    def error(self) -> AkaError:
        """A new exception."""
        kind: type[AkaError] = Unavailable
        if self.code == DEADLINE_EXCEEDED:
            kind = DeadlineExceeded
        elif self.is_refusal:
            kind = Refused
        return kind(
            self.message,
            code=_NAMES[self.code] if 0 <= self.code < len(_NAMES) else str(self.code),
            reason=self.reason,
            metadata=self.metadata,
            retry_after_ms=None if self.retry_after_s is None else round(self.retry_after_s * 1000),
        )


def of_status(code: int, message: str, details: bytes | None) -> Failure:
    """The failure that a gRPC status says. `details` is the trailer `grpc-status-details-bin`."""
    reason, metadata, retry_after_s = "", {}, None
    try:
        for detail in details_pb2.ErrorStatus.FromString(details or b"").details:
            kind = detail.type_url.rpartition("/")[2]
            if kind == "google.rpc.ErrorInfo":
                info = details_pb2.ErrorInfo.FromString(detail.value)
                if info.domain == "aka":
                    reason, metadata = info.reason, dict(info.metadata)
            elif kind == "google.rpc.RetryInfo":
                delay = details_pb2.RetryInfo.FromString(detail.value).retry_delay
                retry_after_s = max(0.0, delay.seconds + delay.nanos / 1e9)
    except DecodeError:
        # Some proxy made it. The code alone says enough.
        pass
    return Failure(code, message, reason, metadata, retry_after_s)


def of_item(item: alias_pb2.Failure) -> Failure:
    """The failure of one item of a batch."""
    return Failure(item.code, item.message, item.reason, dict(item.metadata), None, True)


def late(message: str) -> Failure:
    """The client's own timeout."""
    return Failure(DEADLINE_EXCEEDED, message)


def unreachable(message: str) -> Failure:
    """No endpoint answers."""
    return Failure(UNAVAILABLE, message)
