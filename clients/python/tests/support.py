"""Real servers, a fake one, and both clients behind one face."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2

import aka_client
import aka_client.aio
from aka_client._proto.aka.client import details_pb2
from aka_client._proto.aka.v1 import alias_pb2, resolver_pb2

# No test needs so long. A test that hangs fails.
PATIENCE_S = 30.0
AKA = os.environ.get("AKA_BINARY") or str(Path(__file__).resolve().parents[3] / "target/debug/aka")


def wait_until(condition: Callable[[], Any], what: str = "") -> Any:
    """Waits until something is so."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"in vain: {what or condition}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Aka:
    """A real `aka serve`. Its address stays the same when it is started again."""

    def __init__(self, sqlite: Path, *flags: str, port: int = 0) -> None:
        self.sqlite = sqlite
        self._flags = flags
        self.port = port
        self.start()

    def start(self) -> None:
        command = [AKA, "serve", "--sqlite", str(self.sqlite), "--listen", f"127.0.0.1:{self.port}"]
        command += ["--metrics-listen", "127.0.0.1:0", *self._flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AKA_")}
        # Threads are late on a busy machine.
        environment["AKA_OVERLOAD_LAG_MS"] = "60000"
        self.log = open(f"{self.sqlite}.{self.port}.log", "ab")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, env=environment, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("aka: serving on "):
                self.port = int(line.rpartition(":")[2])
                return
        raise AssertionError(f"aka did not start; see {self.log.name}: {Path(self.log.name).read_text()}")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self.log.close()
        return code


Answer = Callable[[resolver_pb2.BatchResolveRequest, grpc.ServicerContext], bytes]


def answer(aliases: dict[int, str] | None = None, degraded: bool = False) -> bytes:
    items = [resolver_pb2.Resolved(index=i, canonical_id=text) for i, text in (aliases or {}).items()]
    return resolver_pb2.BatchResolveResponse(aliases=items, degraded=degraded).SerializeToString()


def failing(indexes: list[int], reason: str, code: int = 14) -> bytes:
    items = [alias_pb2.Failure(index=i, code=code, reason=reason, message="as told") for i in indexes]
    return resolver_pb2.BatchResolveResponse(failures=items).SerializeToString()


def abort(
    context: grpc.ServicerContext, code: grpc.StatusCode, reason: str = "", retry_ms: int | None = None
) -> bytes:
    """Ends a call as aka does, with its details."""
    details = []
    if reason:
        info = details_pb2.ErrorInfo(reason=reason, domain="aka")
        details.append(
            any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info.SerializeToString())
        )
    if retry_ms is not None:
        delay = duration_pb2.Duration(seconds=retry_ms // 1000, nanos=retry_ms % 1000 * 1_000_000)
        retry = details_pb2.RetryInfo(retry_delay=delay)
        details.append(
            any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=retry.SerializeToString())
        )
    status = details_pb2.ErrorStatus(code=code.value[0], message="as told", details=details)
    if details:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, "as told")
    return b""


class Fake:
    """A server that answers as it is told. It remembers what it was asked."""

    def __init__(self, respond: Answer | None = None, port: int = 0) -> None:
        self.respond: Answer = respond or (lambda request, context: answer())
        self.requests: list[resolver_pb2.BatchResolveRequest] = []
        self.times: list[float] = []
        self.metadata: list[dict[str, Any]] = []
        self.admin: list[str] = []
        self.on_admin: Callable[[str, grpc.ServicerContext], bytes] = lambda method, context: b""
        self.probes = 0
        self.healthy = True
        self.lock = threading.Lock()
        self.under_way = 0
        self.most_under_way = 0
        self.port = port
        self.start()

    def start(self) -> None:
        self.server = grpc.server(
            futures.ThreadPoolExecutor(64), handlers=[_Handler(self)], options=[("grpc.so_reuseport", 0)]
        )
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
                break
            except RuntimeError:
                assert time.monotonic() < end, "the port stays taken"
                time.sleep(0.02)
        self.server.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self, grace: float | None = None) -> threading.Event:
        return self.server.stop(grace)

    def ids(self) -> list[list[str]]:
        with self.lock:
            return [list(request.distinct_ids) for request in self.requests]

    def serve(self, method: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        if method == "/grpc.health.v1.Health/Check":
            self.probes += 1
            if not self.healthy:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
            return b"\x08\x01"
        if method != "/aka.v1.Resolver/BatchResolve":
            self.admin.append(method)
            return self.on_admin(method, context)
        request = resolver_pb2.BatchResolveRequest.FromString(body)
        with self.lock:
            self.requests.append(request)
            self.times.append(time.monotonic())
            self.metadata.append(dict(context.invocation_metadata()))
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return self.respond(request, context)
        finally:
            with self.lock:
                self.under_way -= 1


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = details.method
        return grpc.unary_unary_rpc_method_handler(
            lambda body, context: self._fake.serve(method, body, context)
        )


class Gate:
    """Holds answers until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, request: resolver_pb2.BatchResolveRequest, context: grpc.ServicerContext) -> bytes:
        self.opened.wait(PATIENCE_S)
        return answer()


class OverLoop:
    """The client for asyncio with the face of the one for threads: each call is a task of one event loop."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._inner: Any = aka_client.aio.Client(*arguments, **options)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Ends the event loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "session":
            return lambda *arguments: _SessionOverLoop(self, found(*arguments))
        if name == "list_aliases":
            return lambda *arguments, **options: self.run(_gather(found(*arguments, **options)))
        if asyncio.iscoroutinefunction(found):
            return lambda *arguments, **options: self.run(found(*arguments, **options))
        return found

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)


class _SessionOverLoop:
    def __init__(self, client: OverLoop, inner: Any) -> None:
        self._client = client
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if asyncio.iscoroutinefunction(found):
            return lambda *arguments, **options: self._client.run(found(*arguments, **options))
        return found


async def _gather(items: Any) -> list[Any]:
    return [item async for item in items]


@contextmanager
def in_threads(*calls: Callable[[], Any]) -> Iterator[list[futures.Future[Any]]]:
    """Runs calls, each in a thread of its own. All have ended afterwards."""
    with futures.ThreadPoolExecutor(max(1, len(calls))) as pool:
        yield [pool.submit(call) for call in calls]
