"""The calls of the admin service: their messages, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timezone
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from .._proto.aka.v1 import alias_admin_pb2 as pb
from .._proto.aka.v1 import alias_pb2
from ..answers import Alias, BatchCreated, Created, NewAlias, Updated
from ..errors import AkaError, Refused, Unavailable
from . import failures
from .failures import Failure

MOST_IN_A_BATCH = 1_000
_T = TypeVar("_T")
_SERVICE = "/aka.v1.AliasAdmin/"


@dataclass(frozen=True, slots=True)
class Request(Generic[_T]):
    """A call: what is sent, and how its answer is read."""

    method: str
    message: bytes
    read: Callable[[bytes], _T]
    is_write: bool = True
    # Whether it may be sent again after a failure. `None`: after each that may pass.
    may_repeat: Callable[[Failure], bool] | None = None

    def parse(self, body: bytes) -> _T:
        """The answer.

        Raises:
            Unavailable: If the bytes are not the message.

        """
        try:
            return self.read(body)
        except DecodeError:
            raise Unavailable("the answer cannot be read; is this an aka?") from None


def _message(make: Callable[[], Message]) -> bytes:
    try:
        return make().SerializeToString()
    except (UnicodeError, ValueError) as error:
        # It does not fit into the message: no UTF-8, or a number out of range. The server cannot say so.
        raise Refused(f"the request cannot be sent: {error}", reason="MALFORMED_MESSAGE") from None


def _alias(alias: alias_pb2.Alias) -> Alias:
    return Alias(
        alias.project_id,
        alias.alias_id,
        alias.canonical_id,
        alias.version,
        alias.create_time.ToDatetime(tzinfo=timezone.utc),
        alias.update_time.ToDatetime(tzinfo=timezone.utc),
    )


def _created(response: pb.CreateAliasResponse) -> Created:
    return Created(_alias(response.alias), response.created, response.consistency_token)


def _create_message(new: NewAlias) -> pb.CreateAliasRequest:
    return pb.CreateAliasRequest(
        project_id=new.project, alias_id=new.alias_id, canonical_id=new.canonical_id, dry_run=new.dry_run
    )


def create(new: NewAlias) -> Request[Created]:
    """CreateAlias. It is safe to repeat."""
    message = _message(lambda: _create_message(new))
    return Request(
        _SERVICE + "CreateAlias", message, lambda body: _created(pb.CreateAliasResponse.FromString(body))
    )


def batch_create(news: Iterable[NewAlias]) -> Request[BatchCreated]:
    """BatchCreateAliases. It is safe to repeat."""
    messages = [_create_message(new) for new in news]
    if len(messages) > MOST_IN_A_BATCH:
        raise Refused(f"{len(messages)} aliases are more than {MOST_IN_A_BATCH}", reason="BATCH_TOO_LARGE")

    def read(body: bytes) -> BatchCreated:
        response = pb.BatchCreateAliasesResponse.FromString(body)
        results: list[Created | AkaError] = [
            failures.of_item(result.failure).error()
            if result.HasField("failure")
            else _created(result.response)
            for result in response.results
        ]
        if len(results) != len(messages):
            raise Unavailable("the answer has not one result for each alias; is this an aka?")
        return BatchCreated(results, response.consistency_token)

    message = _message(lambda: pb.BatchCreateAliasesRequest(requests=messages))
    return Request(_SERVICE + "BatchCreateAliases", message, read)


def get(project: int, alias_id: str) -> Request[Alias]:
    """GetAlias."""
    message = _message(lambda: pb.GetAliasRequest(project_id=project, alias_id=alias_id))
    return Request(
        _SERVICE + "GetAlias", message, lambda body: _alias(alias_pb2.Alias.FromString(body)), is_write=False
    )


def update(project: int, alias_id: str, canonical_id: str, expected_version: int) -> Request[Updated]:
    """UpdateAlias. It is safe to repeat: to update to what it is already writes nothing."""
    message = _message(
        lambda: pb.UpdateAliasRequest(
            project_id=project,
            alias_id=alias_id,
            canonical_id=canonical_id,
            expected_version=expected_version,
        )
    )

    def read(body: bytes) -> Updated:
        response = pb.UpdateAliasResponse.FromString(body)
        return Updated(_alias(response.alias), response.consistency_token)

    return Request(_SERVICE + "UpdateAlias", message, read)


def delete(project: int, alias_id: str, expected_version: int) -> Request[str]:
    """DeleteAlias.

    It is not repeated after an unknown outcome: the repeat of a delete that was done would say "not found",
    and could delete an alias that was created since.
    """
    message = _message(
        lambda: pb.DeleteAliasRequest(
            project_id=project, alias_id=alias_id, expected_version=expected_version
        )
    )
    return Request(
        _SERVICE + "DeleteAlias",
        message,
        lambda body: pb.DeleteAliasResponse.FromString(body).consistency_token,
        may_repeat=lambda failure: failure.reason not in ("", "OUTCOME_UNKNOWN"),
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, and where the next one begins (empty: nowhere)."""

    aliases: list[Alias]
    next_page_token: str


def list_page(project: int, canonical_id: str, page_size: int, page_token: str) -> Request[Page]:
    """ListAliases."""
    message = _message(
        lambda: pb.ListAliasesRequest(
            project_id=project, canonical_id=canonical_id, page_size=page_size, page_token=page_token
        )
    )

    def read(body: bytes) -> Page:
        response = pb.ListAliasesResponse.FromString(body)
        return Page([_alias(alias) for alias in response.aliases], response.next_page_token)

    return Request(_SERVICE + "ListAliases", message, read, is_write=False)
