"""What the client shows of itself: a bearer token, and a certificate."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import grpc

from ..options import Options
from .driver import Metadata

# The file is looked at that often at most.
LOOK_EVERY_S = 1.0

_log = logging.getLogger("aka_client")
_Mark = tuple[int, int, int]


class TokenFile:
    """A bearer token in a file, which is read again when the file changes."""

    def __init__(self, path: str | os.PathLike[str] | None, now: Callable[[], float]) -> None:
        self._path = None if path is None else Path(path)
        self._now = now
        self._looked_at = float("-inf")
        self._mark: _Mark | None = None
        self._metadata: Metadata = ()
        if self._path is not None and not self._read():
            raise ValueError(f"the token file {self._path} cannot be read, or holds no token")

    def metadata(self) -> Metadata:
        """What goes with each request."""
        if self._path is not None and self._now() >= self._looked_at + LOOK_EVERY_S:
            self._read()
        return self._metadata

    def is_new(self) -> bool:
        """Reads the file now. Whether it holds another token than before."""
        before = self._metadata
        return self._path is not None and self._read() and self._metadata != before

    def _read(self) -> bool:
        """Reads the file if it has changed. If that fails, the last token stays."""
        if self._path is None:
            return False
        self._looked_at = self._now()
        try:
            status = self._path.stat()
            mark = (status.st_ino, status.st_mtime_ns, status.st_size)
            if mark == self._mark:
                return True
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            _log.warning("the token file cannot be read, and its last token is used: %s", error)
            return False
        if not token or not token.isprintable() or " " in token:
            _log.warning("the token file holds no token, and its last one is used")
            return False
        self._mark, self._metadata = mark, (("authorization", f"Bearer {token}"),)
        return True


def channel_credentials(options: Options) -> grpc.ChannelCredentials:
    """The authorities that are trusted, and the certificate that is shown, as the files say now.

    Raises:
        OSError: If a file cannot be read.

    """

    def read(path: str | os.PathLike[str] | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    return grpc.ssl_channel_credentials(read(options.ca), read(options.key), read(options.cert))


def channel_options(authority: str, options: Options) -> list[tuple[str, str | int]]:
    """The options of a channel to one address."""
    return [
        # The C core would make the name of the server out of the address.
        ("grpc.default_authority", authority),
        # Two clients share no connection.
        ("grpc.use_local_subchannel_pool", 1),
        # No TXT record of the name may add retries to ours.
        ("grpc.service_config_disable_resolution", 1),
        # The C core waits a second and more before it connects again. We have other endpoints meanwhile,
        # and want to know soon.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        # In spite of its name, this is how long a connection may take.
        ("grpc.min_reconnect_backoff_ms", options.connect_timeout_ms),
        # Transparent retries: a call that the server has not begun with is sent again when a connection
        # ends. Other retries are the client's own.
        ("grpc.enable_retries", 1),
        # A peer that is cut off is noticed also while it owes answers.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.max_receive_message_length", 16 << 20),
        ("grpc.enable_http_proxy", 0),
        ("grpc.primary_user_agent", "aka-client-python"),
    ]
