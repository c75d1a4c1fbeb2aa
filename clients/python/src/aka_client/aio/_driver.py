"""The driver of the client for asyncio."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import grpc
import grpc.aio

from .._clock import now
from .._engine import failures
from .._engine.addresses import Address
from .._engine.credentials import channel_credentials, channel_options
from .._engine.driver import Cancellable, Metadata, Reply
from ..options import Options

_log = logging.getLogger("aka_client")
_DETAILS = "grpc-status-details-bin"


class LoopDriver:
    """Runs the engine in one event loop, with gRPC's asyncio stack. The loop takes the place of a lock."""

    def __init__(self, options: Options, tls: bool, effects: deque[Callable[[], None]]) -> None:
        self._options = options
        self._tls = tls
        self._effects = effects
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def bind(self) -> asyncio.AbstractEventLoop:
        """The event loop of the client: the one that first used it.

        Raises:
            RuntimeError: If this is another one.

        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("this client belongs to another event loop; make one for each")
        return loop

    def __enter__(self) -> None:
        """Nothing else runs meanwhile: this is one event loop."""

    def __exit__(self, *error: object) -> None:
        """Runs the effects."""
        self.flush()

    def enter(self, run: Callable[[], None]) -> None:
        """Runs a function of the engine, and then its effects."""
        try:
            run()
        except Exception:
            # Nobody is there to take it. It is a fault in here.
            _log.exception("a fault in the client")
        self.flush()

    def flush(self) -> None:
        """Runs the effects that are due."""
        effects = self._effects
        while effects:
            effect = effects.popleft()
            try:
                effect()
            except Exception:
                _log.exception("a fault in the client")

    def now(self) -> float:
        """Seconds, those of a suspended machine too."""
        return now()

    def later(self, delay_s: float, run: Callable[[], None]) -> Cancellable:
        """Calls `run` after a time."""
        return self.bind().call_later(delay_s, self.enter, run)

    def connect(self, address: Address) -> grpc.aio.Channel:
        """A channel to one address."""
        options = channel_options(address.server.authority, self._options)
        if self._tls:
            return grpc.aio.secure_channel(address.target, channel_credentials(self._options), options)
        return grpc.aio.insecure_channel(address.target, options)

    def disconnect(self, channel: Any) -> None:
        """Closes a channel."""
        self._spawn(channel.close())

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
        """Sends a request."""
        call = channel.unary_unary(method)(request, timeout=timeout_s, metadata=metadata, wait_for_ready=wait)
        self._spawn(self._answer(call, done))
        return call  # type: ignore[no-any-return]

    async def _answer(self, call: Any, done: Callable[[Reply], None]) -> None:
        try:
            reply = Reply(failures.OK, await call)
        except grpc.aio.AioRpcError as error:
            trailer: Any = error.trailing_metadata() or ()
            details = [value for key, value in trailer if key == _DETAILS]
            message = error.details() or ""
            reply = Reply(error.code().value[0], b"", message, details[0] if details else None)
        except asyncio.CancelledError:
            # The engine gave the call up, and does not wait for it. If the task is cancelled (the loop
            # ends), nobody does.
            reply = Reply(failures.CANCELLED, b"", "the call was given up")
        except Exception as error:
            reply = Reply(failures.UNKNOWN, b"", f"the call ended without a status: {error!r}")
        self.enter(partial(done, reply))

    def look_up(self, host: str, done: Callable[[list[str]], None]) -> None:
        """All IP addresses of a name."""
        self._spawn(self._look_up(host, done))

    async def _look_up(self, host: str, done: Callable[[list[str]], None]) -> None:
        try:
            found = await self.bind().getaddrinfo(host, None, type=socket.SOCK_STREAM)
            ips = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except OSError as error:
            _log.warning("the name %s cannot be looked up: %s", host, error)
            ips = []
        self.enter(partial(done, ips))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # The loop itself holds tasks weakly.
        task = self.bind().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Waits for what it has begun: calls that were given up, and channels that close."""
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=self._options.connect_timeout_ms / 1000)

    def forked(self) -> None:
        """Makes new locks: it has none."""
