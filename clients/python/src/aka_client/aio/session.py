"""Sessions for asyncio: reads that see the writes of the same session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, AnyStr

from .._engine.ids import check_token
from ..answers import BatchCreated, Created, NewAlias, Resolved, Updated
from ..errors import AkaError
from ..tokens import TokenJar

if TYPE_CHECKING:
    from .client import Client


class Session:
    """Reads that see the writes of the same session, on any instance of aka.

    It keeps the tokens of its writes, one position a shard, for 60 s; by then every instance has seen them.
    Any number of tasks may use it. Hand `token` on with an event, so that whoever handles it sees them too.
    """

    def __init__(self, client: Client, token: str = "") -> None:
        self._client = client
        self._jar = TokenJar()
        self.add(token)

    @property
    def token(self) -> str:
        """What a read must carry to see the writes of this session. Empty: nothing."""
        return self._jar.joined()

    def add(self, token: str) -> None:
        """Adds the token that another session handed on."""
        check_token(token)
        self._jar.add(token)

    async def resolve(
        self, project: int, id: AnyStr, *, timeout_ms: int | None = None, traceparent: str | None = None
    ) -> Resolved[AnyStr]:
        """As `Client.resolve`, at least as fresh as the writes of this session."""
        return await self._client.resolve(
            project, id, token=self.token, timeout_ms=timeout_ms, traceparent=traceparent
        )

    async def resolve_or_unchanged(
        self, project: int, id: AnyStr, *, timeout_ms: int | None = None, traceparent: str | None = None
    ) -> AnyStr:
        """As `Client.resolve_or_unchanged`, at least as fresh as the writes of this session."""
        return await self._client.resolve_or_unchanged(
            project, id, token=self.token, timeout_ms=timeout_ms, traceparent=traceparent
        )

    async def resolve_many(
        self,
        project: int,
        ids: Sequence[AnyStr],
        *,
        timeout_ms: int | None = None,
        traceparent: str | None = None,
    ) -> list[Resolved[AnyStr] | AkaError]:
        """As `Client.resolve_many`, at least as fresh as the writes of this session."""
        return await self._client.resolve_many(
            project, ids, token=self.token, timeout_ms=timeout_ms, traceparent=traceparent
        )

    async def create_alias(
        self, project: int, alias_id: str, canonical_id: str, *, timeout_ms: int | None = None
    ) -> Created:
        """As `Client.create_alias`."""
        created = await self._client.create_alias(project, alias_id, canonical_id, timeout_ms=timeout_ms)
        self._jar.add(created.token)
        return created

    async def create_aliases(
        self, news: Iterable[NewAlias], *, timeout_ms: int | None = None
    ) -> BatchCreated:
        """As `Client.create_aliases`."""
        created = await self._client.create_aliases(news, timeout_ms=timeout_ms)
        self._jar.add(created.token)
        return created

    async def update_alias(
        self,
        project: int,
        alias_id: str,
        canonical_id: str,
        expected_version: int,
        *,
        timeout_ms: int | None = None,
    ) -> Updated:
        """As `Client.update_alias`."""
        updated = await self._client.update_alias(
            project, alias_id, canonical_id, expected_version, timeout_ms=timeout_ms
        )
        self._jar.add(updated.token)
        return updated

    async def delete_alias(
        self, project: int, alias_id: str, expected_version: int = 0, *, timeout_ms: int | None = None
    ) -> str:
        """As `Client.delete_alias`."""
        token = await self._client.delete_alias(project, alias_id, expected_version, timeout_ms=timeout_ms)
        self._jar.add(token)
        return token
