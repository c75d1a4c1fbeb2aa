"""Fixtures: a real aka for the whole run, fake servers, and both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Aka, Fake, OverLoop

import aka_client

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def aka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aka]:
    server = Aka(tmp_path_factory.mktemp("aka") / "aka.db")
    yield server
    assert server.stop() == 0


@pytest.fixture
def start_aka(tmp_path: Path) -> Iterator[Callable[..., Aka]]:
    started: list[Aka] = []

    def start(*flags: str, sqlite: Path | None = None) -> Aka:
        started.append(Aka(sqlite or tmp_path / "aka.db", *flags))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def fake() -> Iterator[Fake]:
    server = Fake()
    yield server
    server.stop()


@pytest.fixture
def other() -> Iterator[Fake]:
    server = Fake()
    yield server
    server.stop()


@pytest.fixture(params=["threads", "asyncio"])
def make(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Make]:
    """Makes clients of one kind. Each test with it runs for both kinds."""
    kind: Any = aka_client.Client if request.param == "threads" else OverLoop
    made: list[Any] = []

    def build(*arguments: Any, **options: Any) -> Any:
        # A busy machine may take longer than the default.
        options.setdefault("timeout_ms", 20_000)
        made.append(kind(*arguments, **options))
        return made[-1]

    yield build
    for client in made:
        client.close(0)
        if isinstance(client, OverLoop):
            client.end()
    # (grpc.aio itself logs harmless errors if a process has several event loops, as these tests have.)
    ours = [record for record in caplog.records if record.name == "aka_client"]
    faults = [record for record in ours if record.levelname in ("ERROR", "CRITICAL")]
    assert not faults, faults
