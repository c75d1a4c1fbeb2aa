"""The endpoints: which are there, which of them are up, and which one takes the next request.

Up means proven: an endpoint answered a probe, and no connection to it has failed since.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..metrics import Counters
from . import failures
from .addresses import Address, Server
from .driver import Cancellable, Driver, Metadata, Reply
from .failures import Failure

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
# Names are looked up again after this time, and when an endpoint goes down.
LOOK_UP_EVERY_S = 30.0
LOOK_UP_AT_MOST_EVERY_S = 1.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
# A probe that does not know whether it is answered says that the endpoint is down.
_UNANSWERED = failures.OF_TRANSPORT | {failures.DEADLINE_EXCEEDED}

_log = logging.getLogger("aka_client")


class Endpoint:
    """One address, its channel, and what is known of it."""

    __slots__ = ("address", "channel", "failed_probes", "gone", "in_flight", "last_used", "timer", "up")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.channel: Any = None
        self.up = False
        # The name does not lead to it any more.
        self.gone = False
        self.in_flight = 0
        self.last_used = 0
        self.failed_probes = 0
        self.timer: Cancellable | None = None


class Endpoints:
    """All endpoints of a client."""

    def __init__(
        self,
        servers: list[Server],
        connect_timeout_s: float,
        driver: Driver,
        counters: Counters,
        effect: Callable[[Callable[[], None]], None],
        metadata: Callable[[], Metadata],
    ) -> None:
        self._servers = servers
        self._connect_timeout_s = connect_timeout_s
        self._driver = driver
        self._counters = counters
        # Runs something outside of the lock.
        self._effect = effect
        self._metadata = metadata
        self._all: dict[Address, Endpoint] = {}
        self._used = 0
        self._looked_up_at = float("-inf")
        self._timers: list[Cancellable] = []
        self._stopped = False
        # What the last failed probe or lookup said.
        self._why = ""
        self.down_since: float | None = None
        # Called when an endpoint comes up.
        self.on_up: Callable[[], None] = lambda: None
        # Called when the last endpoint that was up goes down.
        self.on_all_down: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Looks all names up, and probes all endpoints."""
        self.down_since = self._driver.now()
        for server in self._servers:
            if server.is_address:
                self._add(Address(server, server.host))
        self._look_up()
        self.on_all_down()

    def stop(self) -> None:
        """Ends all probes, and closes all channels."""
        self._stopped = True
        for timer in self._timers:
            timer.cancel()
        for endpoint in list(self._all.values()):
            self._remove(endpoint)

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._all.values())

    def pick(self, tried: set[Endpoint], most_in_flight: int) -> Endpoint | None:
        """The endpoint that is up, was not tried, and has the least under way. `None`: none has room."""
        free = [e for e in self._all.values() if e.up and e.in_flight < most_in_flight]
        best = min(free, key=lambda e: (e in tried, e.in_flight, e.last_used), default=None)
        if best is not None:
            self._used += 1
            best.last_used = self._used
        return best

    def has_room(self, most_in_flight: int) -> bool:
        """Whether a batch can be sent now."""
        return any(e.up and e.in_flight < most_in_flight for e in self._all.values())

    def is_any_up(self) -> bool:
        """Whether one endpoint is up."""
        return any(endpoint.up for endpoint in self._all.values())

    def none_answers(self) -> Failure:
        """The failure of a request for which no endpoint is up."""
        return failures.unreachable(f"no endpoint answers, so it could not be found out{self._why}")

    def failed(self, endpoint: Endpoint) -> None:
        """A connection to it broke, or a request to it was never answered: it is down until a probe."""
        if not endpoint.up:
            return
        endpoint.up = False
        self._counters.add("endpoints_down")
        endpoint.failed_probes = 0
        if not endpoint.gone:
            self._probe(endpoint)
            self._look_up()
        if not self.is_any_up():
            self.down_since = self._driver.now()
            self.on_all_down()

    def released(self, endpoint: Endpoint) -> None:
        """A request to it has ended."""
        endpoint.in_flight -= 1
        if endpoint.gone and not endpoint.in_flight:
            self._close(endpoint)

    # ------------------------------------------------------------------------------------ probes

    def _probe(self, endpoint: Endpoint) -> None:
        endpoint.timer = None
        if endpoint.gone or self._stopped:
            return
        self._effect(partial(self._send_probe, endpoint))

    def _send_probe(self, endpoint: Endpoint) -> None:
        # Only one probe of an endpoint is out at a time, and nothing else makes its channel. After some
        # failures a new channel is made: it reads the certificates again, which may have been replaced.
        old, done = endpoint.channel, partial(self._probed, endpoint)
        try:
            if old is None or (endpoint.failed_probes % 4 == 3 and not endpoint.in_flight):
                endpoint.channel = self._driver.connect(endpoint.address)
                if old is not None:
                    self._driver.disconnect(old)
            timeout_s = self._connect_timeout_s
            # One probe fails at once if the connection is refused, and says so. The next one waits for a
            # connection, so that it is answered as soon as there is one.
            wait = endpoint.failed_probes % 2 == 1
            self._driver.call(endpoint.channel, HEALTH_CHECK, b"", timeout_s, self._metadata(), wait, done)
        except Exception as error:
            # A certificate cannot be read just now, say. The next probe tries again.
            _log.warning("%s cannot be probed: %s", endpoint.address.target, error)
            self._driver.later(0, partial(done, Reply(failures.UNAVAILABLE, b"", str(error))))

    def _probed(self, endpoint: Endpoint, reply: Reply) -> None:
        if endpoint.gone or self._stopped:
            if not endpoint.in_flight:
                self._close(endpoint)
            return
        # Any answer will do, also that the caller may not ask for the health. An instance that warms up or
        # drains is not SERVING, and yet it answers lookups.
        if reply.code not in _UNANSWERED:
            endpoint.up = True
            self.down_since = None
            self._counters.add("endpoints_up")
            self.on_up()
            return
        if reply.code != failures.DEADLINE_EXCEEDED or not self._why:
            self._why = f" ({endpoint.address.target}: {reply.message})"
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(endpoint.failed_probes, 10))
        endpoint.failed_probes += 1
        pause *= random.uniform(0.5, 1.0)
        endpoint.timer = self._driver.later(pause, partial(self._probe, endpoint))

    # ------------------------------------------------------------------------------------- names

    def _look_up(self) -> None:
        now = self._driver.now()
        names = [server for server in self._servers if not server.is_address]
        if self._stopped or not names or now < self._looked_up_at + LOOK_UP_AT_MOST_EVERY_S:
            return
        self._looked_up_at = now
        for server in names:
            done = partial(self._looked_up, server)
            self._effect(partial(self._driver.look_up, server.host, done))
        for timer in self._timers:
            timer.cancel()
        self._timers = [self._driver.later(LOOK_UP_EVERY_S, self._look_up)]

    def _looked_up(self, server: Server, ips: list[str]) -> None:
        if self._stopped:
            return
        if not ips:
            # The name server may be down. What is known stays; if that is nothing, it is tried again soon.
            self._why = f" ({server.host}: the name has no address)"
            if not any(address.server == server for address in self._all):
                self._timers.append(self._driver.later(LOOK_UP_AT_MOST_EVERY_S, self._look_up))
            return
        found = {Address(server, ip) for ip in ips}
        for endpoint in list(self._all.values()):
            if endpoint.address.server == server and endpoint.address not in found:
                self._remove(endpoint)
        for ip in ips:
            self._add(Address(server, ip))

    def _add(self, address: Address) -> None:
        if address not in self._all:
            endpoint = Endpoint(address)
            self._all[address] = endpoint
            self._probe(endpoint)

    def _remove(self, endpoint: Endpoint) -> None:
        endpoint.gone = True
        was_up, endpoint.up = endpoint.up, False
        if endpoint.timer is not None:
            endpoint.timer.cancel()
        del self._all[endpoint.address]
        if not endpoint.in_flight:
            self._close(endpoint)
        if was_up and not self._stopped and not self.is_any_up():
            self.down_since = self._driver.now()
            self.on_all_down()

    def _close(self, endpoint: Endpoint) -> None:
        channel, endpoint.channel = endpoint.channel, None
        if channel is not None:
            self._effect(partial(self._driver.disconnect, channel))
