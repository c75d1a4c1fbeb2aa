"""What the server's contract says, through both clients, against a real aka."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from support import Aka, wait_until

from aka_client import Created, NewAlias, Refused, Resolved, Unavailable

Make = Callable[..., Any]
_projects = itertools.count(1)


@pytest.fixture
def project() -> int:
    """A project that no other test uses."""
    return next(_projects)


def test_an_alias_and_what_is_none(make: Make, aka: Aka, project: int) -> None:
    client = make(aka.address)
    created = client.create_alias(project, "device", "alice")
    assert (created.created, created.alias.canonical_id, created.alias.project) == (True, "alice", project)
    assert client.resolve(project, "device", token=created.token) == Resolved("alice", True, False)
    assert client.resolve(project, "alice") == Resolved("alice", False, False)
    assert client.resolve(project + 1_000_000, "device") == Resolved("device", False, False)
    assert client.create_alias(project, "device", "alice").created is False


def test_bytes_are_answered_with_bytes(make: Make, aka: Aka, project: int) -> None:
    client = make(aka.address)
    token = client.create_alias(project, "gerät", "älice").token
    assert client.resolve(project, "gerät".encode(), token=token) == Resolved("älice".encode(), True, False)
    mixed = client.resolve_many(project, ["gerät", "nobody"], token=token)
    assert mixed == [Resolved("älice", True, False), Resolved("nobody", False, False)]
    assert client.resolve_many(project, [b"\xff", b"x"]) == [
        Resolved(b"\xff", False, False),
        Resolved(b"x", False, False),
    ]


@pytest.mark.parametrize("id", [b"\xff\xfe", b"", "", "x" * 256, "ä" * 128, "\ud800", b"\xc3"])
def test_an_id_that_no_alias_can_have_is_echoed(make: Make, aka: Aka, project: int, id: Any) -> None:
    client = make(aka.address)
    assert client.resolve(project, id) == Resolved(id, False, False)
    stats = client.stats()
    assert (stats["echoed"], stats["batches"]) == (1, 0)


@pytest.mark.parametrize("id", ["x" * 255, "ä" * 127, "null", "a\x00b", " ", "\U0010ffff" * 63])
def test_every_other_id_is_asked_for(make: Make, aka: Aka, project: int, id: str) -> None:
    client = make(aka.address)
    assert client.resolve(project, id) == Resolved(id, False, False)
    assert client.stats()["batches"] == 1


def test_many_ids_come_back_in_order(make: Make, aka: Aka, project: int) -> None:
    client = make(aka.address, max_batch=100)
    made = client.create_aliases([NewAlias(project, f"a{i}", f"c{i % 7}") for i in range(0, 1000, 3)])
    assert all(isinstance(result, Created) and result.created for result in made.results)
    ids = [f"a{i}" for i in range(1000)] * 2
    found = client.resolve_many(project, ids, token=made.token)
    for index, resolved in enumerate(found):
        i = index % 1000
        assert resolved == (
            Resolved(f"c{i % 7}", True, False) if i % 3 == 0 else Resolved(f"a{i}", False, False)
        )


def test_the_admin_calls(make: Make, aka: Aka, project: int) -> None:
    client = make(aka.address)
    alias = client.create_alias(project, "a", "c").alias
    assert client.get_alias(project, "a") == alias
    updated = client.update_alias(project, "a", "d", alias.version)
    assert updated.alias.canonical_id == "d"
    assert client.resolve(project, "a", token=updated.token).canonical == "d"
    for i in range(5):
        client.create_alias(project, f"b{i}", "d")
    listed = [alias.alias_id for alias in client.list_aliases(project, "d", page_size=2)]
    assert listed == ["a", "b0", "b1", "b2", "b3", "b4"]
    token = client.delete_alias(project, "a", updated.alias.version)
    assert client.resolve(project, "a", token=token) == Resolved("a", False, False)
    assert client.create_alias(project, "a", "e", dry_run=True).token == ""
    with pytest.raises(Refused) as refused:
        client.get_alias(project, "a")
    assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "ALIAS_NOT_FOUND")


def test_refusals_say_why(make: Make, aka: Aka, project: int) -> None:
    client = make(aka.address)
    first = client.create_alias(project, "a", "c")
    refusals: list[tuple[str, Callable[[], object]]] = [
        ("ALIAS_TAKEN", lambda: client.create_alias(project, "a", "x")),
        ("ALIAS_IS_CANONICAL", lambda: client.create_alias(project, "c", "x")),
        ("SELF_ALIAS", lambda: client.create_alias(project, "x", "x")),
        ("PLACEHOLDER_ID", lambda: client.create_alias(project, "null", "x")),
        ("VERSION_REQUIRED", lambda: client.update_alias(project, "a", "x", 0)),
        ("VERSION_MISMATCH", lambda: client.update_alias(project, "a", "x", first.alias.version + 1)),
        ("INVALID_PROJECT", lambda: client.create_alias(0, "a", "b")),
        ("INVALID_PROJECT", lambda: client.resolve(0, "a")),
        ("INVALID_PROJECT", lambda: client.resolve(1 << 63, "a")),
        ("INVALID_TOKEN", lambda: client.resolve(project, "a", token="nonsense")),
        ("INVALID_TOKEN", lambda: client.resolve(project, "a", token="ä")),
        ("MALFORMED_MESSAGE", lambda: client.create_alias(project, "\ud800", "x")),
        ("MALFORMED_MESSAGE", lambda: client.get_alias(-1, "x")),
        ("BATCH_TOO_LARGE", lambda: client.create_aliases([NewAlias(project, "a", "b")] * 1001)),
    ]
    for reason, call in refusals:
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.reason == reason
    with pytest.raises(Refused) as taken:
        client.create_alias(project, "a", "x")
    assert taken.value.metadata == {"canonical_id": "c", "version": str(first.alias.version)}
    mixed = client.create_aliases([NewAlias(project, "y", "c"), NewAlias(project, "a", "x")])
    assert isinstance(mixed.results[0], Created)
    assert isinstance(mixed.results[1], Refused)
    assert mixed.results[1].reason == "ALIAS_TAKEN"


def test_wrong_types_are_told_at_once(make: Make, aka: Aka) -> None:
    client: Any = make(aka.address)
    calls: list[Callable[[], object]] = [
        lambda: client.resolve("1", "a"),
        lambda: client.resolve(True, "a"),
        lambda: client.resolve(1, 17),
        lambda: client.resolve_many(1, "abc"),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="timeout_ms"):
        client.resolve(1, "a", timeout_ms=0)


def test_a_read_after_a_write_on_another_instance(
    make: Make, start_aka: Callable[..., Aka], tmp_path: Path
) -> None:
    """The second instance's feed stands still: only the token makes it ask the database."""
    held = ("--feed-interval-ms", "60000", "--staleness-limit-ms", "60000")
    first, second = start_aka(), start_aka(*held)
    writer, reader = make(first.address), make(second.address)
    stale = 0
    for i in range(20):
        # The second instance remembers that it is no alias.
        assert reader.resolve(1, f"a{i}").is_alias is False
        session = writer.session()
        created = session.create_alias(1, f"a{i}", "c")
        assert session.token == created.token
        stale += reader.resolve(1, f"a{i}") == Resolved(f"a{i}", False, False)
        # What the session hands on with an event.
        assert reader.session(session.token).resolve(1, f"a{i}") == Resolved("c", True, False)
        session.update_alias(1, f"a{i}", "d", created.alias.version)
        assert reader.session(session.token).resolve(1, f"a{i}") == Resolved("d", True, False)
        session.delete_alias(1, f"a{i}")
        assert reader.session(session.token).resolve(1, f"a{i}") == Resolved(f"a{i}", False, False)
    assert stale > 0, "the feed was not held, so this shows nothing"


def test_mutual_tls_to_a_name(make: Make, start_aka: Callable[..., Aka], tmp_path: Path) -> None:
    authority = trustme.CA()
    server, me = authority.issue_cert("localhost"), authority.issue_cert("worker")
    files = {}
    for name, blob in (
        ("ca", authority.cert_pem),
        ("server.pem", server.cert_chain_pems[0]),
        ("server.key", server.private_key_pem),
        ("me.pem", me.cert_chain_pems[0]),
        ("me.key", me.private_key_pem),
    ):
        files[name] = str(tmp_path / name)
        blob.write_to_path(files[name])
        Path(files[name]).chmod(0o600)
    aka = start_aka(
        "--tls-cert", files["server.pem"], "--tls-key", files["server.key"], "--tls-client-ca", files["ca"]
    )
    mine = {"ca": files["ca"], "cert": files["me.pem"], "key": files["me.key"]}
    # The name leads to addresses, and is checked all the same.
    client = make(f"https://localhost:{aka.port}", **mine)
    assert client.resolve(1, "a") == Resolved("a", False, False)
    for address, options in (
        (f"https://127.0.0.1:{aka.port}", mine),  # the certificate is not of this name
        (f"localhost:{aka.port}", {"ca": files["ca"]}),  # shows no certificate
        (f"localhost:{aka.port}", {}),  # speaks no TLS
    ):
        other = make(address, timeout_ms=500, connect_timeout_ms=300, **options)
        with pytest.raises(Unavailable):
            other.resolve(1, "a")


def test_certificates_are_read_again(make: Make, start_aka: Callable[..., Aka], tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    server = authority.issue_cert("localhost")
    certificate, key, ca = (str(tmp_path / name) for name in ("server.pem", "server.key", "ca.pem"))
    server.cert_chain_pems[0].write_to_path(certificate)
    server.private_key_pem.write_to_path(key)
    Path(key).chmod(0o600)
    other.cert_pem.write_to_path(ca)
    aka = start_aka("--tls-cert", certificate, "--tls-key", key)
    client = make(f"localhost:{aka.port}", ca=ca, connect_timeout_ms=200)
    with pytest.raises(Unavailable):
        client.resolve(1, "a")
    authority.cert_pem.write_to_path(ca)

    def is_answered() -> bool:
        return isinstance(client.resolve_many(1, ["a"])[0], Resolved)

    wait_until(is_answered)
