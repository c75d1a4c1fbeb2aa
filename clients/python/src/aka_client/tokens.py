"""The tokens of a session's writes, pruned to one position a shard."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable

# How long a token is kept. After that, every instance has long seen the write: an answer without a token
# is a second old at most, by default.
KEEP_S = 60.0
# A token of a form that this client cannot read is kept as it is. So many of them at most.
MOST_UNREAD = 64

_FORMAT = 1
_HEAD_BYTES = 9
_MARK_BYTES = 18
# A shard of a cluster.
_Place = tuple[bytes, int]
# seq, nonce.
_Position = tuple[int, bytes]


def _read(part: str) -> list[tuple[_Place, _Position]] | None:
    """The positions of one token, or `None` if it has another form.

    A token is base64url of a format byte, the cluster (8 bytes), and for each shard its number (2), seq (8)
    and nonce (8), all big-endian.
    """
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    marks, rest = divmod(len(raw) - _HEAD_BYTES, _MARK_BYTES)
    if len(raw) < _HEAD_BYTES or raw[0] != _FORMAT or rest or not marks:
        return None
    cluster = raw[1:_HEAD_BYTES]
    found = []
    for start in range(_HEAD_BYTES, len(raw), _MARK_BYTES):
        mark = raw[start : start + _MARK_BYTES]
        place = (cluster, int.from_bytes(mark[:2], "big"))
        found.append((place, (int.from_bytes(mark[2:10], "big"), mark[10:])))
    return found


def _write(marks: dict[_Place, _Position]) -> list[str]:
    by_cluster: dict[bytes, bytes] = {}
    for (cluster, shard), (seq, nonce) in sorted(marks.items()):
        mark = shard.to_bytes(2, "big") + seq.to_bytes(8, "big") + nonce
        by_cluster[cluster] = by_cluster.get(cluster, b"") + mark
    return [
        base64.urlsafe_b64encode(bytes([_FORMAT]) + cluster + tail).rstrip(b"=").decode()
        for cluster, tail in by_cluster.items()
    ]


class TokenJar:
    """Joins the tokens of writes into one that a read can carry. Any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # The greatest position of each shard, and when it came.
        self._marks: dict[_Place, tuple[_Position, float]] = {}
        # Tokens that this client cannot read, and when they came.
        self._unread: dict[str, float] = {}
        self._joined: str | None = ""
        self._oldest = float("inf")

    def add(self, token: str) -> None:
        """Adds the token of a write, or several joined with commas. An empty one adds nothing."""
        with self._lock:
            now = self._clock()
            for part in filter(None, token.split(",")):
                self._add_part(part, now)
            self._joined = None

    def _add_part(self, part: str, now: float) -> None:
        marks = _read(part)
        if marks is None:
            self._unread.pop(part, None)
            self._unread[part] = now
            while len(self._unread) > MOST_UNREAD:
                del self._unread[next(iter(self._unread))]
            return
        for place, position in marks:
            kept = self._marks.get(place)
            # The same position again was handed on by somebody: it is as young as that.
            if kept is None or kept[0][0] <= position[0]:
                self._marks[place] = (position, now)

    def joined(self) -> str:
        """The token that a read must carry to see all these writes. Empty: none is needed."""
        with self._lock:
            now = self._clock()
            if self._joined is None or self._oldest + KEEP_S <= now:
                self._join(now)
            return self._joined or ""

    def _join(self, now: float) -> None:
        self._marks = {place: kept for place, kept in self._marks.items() if kept[1] + KEEP_S > now}
        self._unread = {token: at for token, at in self._unread.items() if at + KEEP_S > now}
        times = [*(kept[1] for kept in self._marks.values()), *self._unread.values()]
        self._oldest = min(times, default=float("inf"))
        parts = _write({place: kept[0] for place, kept in self._marks.items()})
        self._joined = ",".join([*parts, *self._unread])
