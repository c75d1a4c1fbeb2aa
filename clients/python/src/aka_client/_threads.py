"""The driver of the client for threads."""

from __future__ import annotations

import heapq
import itertools
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc

from ._clock import now
from ._engine import failures
from ._engine.addresses import Address
from ._engine.credentials import channel_credentials, channel_options
from ._engine.driver import Cancellable, Metadata, Reply
from .options import Options

_log = logging.getLogger("aka_client")
_DETAILS = "grpc-status-details-bin"


class _Timer:
    __slots__ = ("run",)

    def __init__(self, run: Callable[[], None]) -> None:
        self.run: Callable[[], None] | None = run

    def cancel(self) -> None:
        # The entry stays in the heap until its time comes, without what it holds.
        self.run = None


class Timers:
    """A thread that runs functions when their time comes. It starts with the first one."""

    def __init__(self, enter: Callable[[Callable[[], None]], None]) -> None:
        self._enter = enter
        self._heap: list[tuple[float, int, _Timer]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._stopped = False

    def later(self, delay_s: float, run: Callable[[], None]) -> _Timer:
        """Runs a function after a time."""
        timer = _Timer(run)
        entry = (time.monotonic() + delay_s, next(self._numbers), timer)
        with self._changed:
            if self._stopped:
                return timer
            heapq.heappush(self._heap, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="aka-client-timers", daemon=True)
                self._thread.start()
            elif self._heap[0] is entry:
                self._changed.notify()
        return timer

    def stop(self) -> None:
        """Runs nothing more."""
        with self._changed:
            self._stopped = True
            self._heap.clear()
            self._changed.notify()

    def _serve(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                due = self._due()
                if not due:
                    wait_s = self._heap[0][0] - time.monotonic() if self._heap else None
                    self._changed.wait(wait_s)
                    continue
            for timer in due:
                self._enter(partial(self._run, timer))

    def _due(self) -> list[_Timer]:
        """Takes what is due out of the heap, and what was cancelled from its head."""
        due = []
        while self._heap and (self._heap[0][0] <= time.monotonic() or self._heap[0][2].run is None):
            timer = heapq.heappop(self._heap)[2]
            if timer.run is not None:
                due.append(timer)
        return due

    @staticmethod
    def _run(timer: _Timer) -> None:
        # Read under the engine's lock: it may have been cancelled meanwhile.
        run = timer.run
        if run is not None:
            run()


class ThreadDriver:
    """Runs the engine under a lock, with gRPC's blocking stack."""

    def __init__(self, options: Options, tls: bool, effects: deque[Callable[[], None]]) -> None:
        self._options = options
        self._tls = tls
        self.lock = threading.Lock()
        # What the engine wants done outside of the lock.
        self._effects = effects
        self._timers = Timers(self.enter)

    def __enter__(self) -> None:
        """Takes the lock, for a caller of the engine."""
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        """Lets the lock go, and runs the effects."""
        self.lock.release()
        self.flush()

    def enter(self, run: Callable[[], None]) -> None:
        """Runs a function of the engine under the lock, and then its effects without it."""
        try:
            with self.lock:
                run()
        except Exception:
            # Nobody is there to take it. It is a fault in here.
            _log.exception("a fault in the client")
        self.flush()

    def flush(self) -> None:
        """Runs the effects that are due. Whichever thread comes first runs them."""
        effects = self._effects
        while effects:
            try:
                effect = effects.popleft()
            except IndexError:
                return
            try:
                effect()
            except Exception:
                _log.exception("a fault in the client")

    def now(self) -> float:
        """Seconds, those of a suspended machine too."""
        return now()

    def later(self, delay_s: float, run: Callable[[], None]) -> Cancellable:
        """Calls `run` under the lock after a time."""
        return self._timers.later(delay_s, run)

    def connect(self, address: Address) -> grpc.Channel:
        """A channel to one address."""
        options = channel_options(address.server.authority, self._options)
        if self._tls:
            return grpc.secure_channel(address.target, channel_credentials(self._options), options)
        return grpc.insecure_channel(address.target, options)

    def disconnect(self, channel: Any) -> None:
        """Closes a channel."""
        channel.close()

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
        future = channel.unary_unary(method).future(
            request, timeout=timeout_s, metadata=metadata, wait_for_ready=wait
        )
        future.add_done_callback(lambda call: self.enter(partial(done, _reply(call))))
        return future  # type: ignore[no-any-return]

    def look_up(self, host: str, done: Callable[[list[str]], None]) -> None:
        """All IP addresses of a name."""

        def run() -> None:
            self.enter(partial(done, _addresses(host)))

        threading.Thread(target=run, name="aka-client-lookup", daemon=True).start()

    def forked(self) -> None:
        """Makes new locks. Only called if it was never used."""
        self.lock = threading.Lock()

    def stop(self) -> None:
        """Ends the thread of the timers."""
        self._timers.stop()


def _reply(call: Any) -> Reply:
    try:
        code: int = call.code().value[0]
        if code == failures.OK:
            return Reply(code, call.result())
        details = [value for key, value in call.trailing_metadata() or () if key == _DETAILS]
        return Reply(code, b"", call.details() or "", details[0] if details else None)
    except Exception as error:
        return Reply(failures.UNKNOWN, b"", f"the call ended without a status: {error!r}")


def _addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        _log.warning("the name %s cannot be looked up: %s", host, error)
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
