"""The answers of aka."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import AnyStr, Generic

from .errors import AkaError


@dataclass(frozen=True, slots=True)
class Resolved(Generic[AnyStr]):
    """What is known of an id. Its strings are of the type that was asked with: `str` or `bytes`."""

    canonical: AnyStr
    """The id to store the event under: the one that was asked for, if it is no alias."""
    is_alias: bool
    degraded: bool
    """Whether this is the last known state, because the database could not be reached."""


@dataclass(frozen=True, slots=True)
class Alias:
    """The fact that `alias_id` stands for `canonical_id` in a project."""

    project: int
    alias_id: str
    canonical_id: str
    version: int
    """Different after every change. Compare it for equality only."""
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a create."""

    alias: Alias
    created: bool
    """False if the alias was there already, with this canonical id."""
    token: str
    """Reads that carry it see this write. Empty after a dry run."""


@dataclass(frozen=True, slots=True)
class Updated:
    """The answer to an update."""

    alias: Alias
    token: str
    """Reads that carry it see this write."""


@dataclass(frozen=True, slots=True)
class NewAlias:
    """One alias to be created, in a batch."""

    project: int
    alias_id: str
    canonical_id: str
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class BatchCreated:
    """The answer to a batch of creates."""

    results: list[Created | AkaError]
    """One for each request, in order. The errors are returned, not raised."""
    token: str
    """The tokens of all creates that succeeded, joined."""
