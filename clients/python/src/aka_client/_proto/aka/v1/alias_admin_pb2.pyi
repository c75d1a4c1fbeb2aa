from aka_client._proto.aka.v1 import alias_pb2 as _alias_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateAliasRequest(_message.Message):
    __slots__ = ("project_id", "alias_id", "canonical_id", "dry_run")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_ID_FIELD_NUMBER: _ClassVar[int]
    CANONICAL_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    project_id: int
    alias_id: str
    canonical_id: str
    dry_run: bool
    def __init__(self, project_id: _Optional[int] = ..., alias_id: _Optional[str] = ..., canonical_id: _Optional[str] = ..., dry_run: bool = ...) -> None: ...

class CreateAliasResponse(_message.Message):
    __slots__ = ("alias", "created", "consistency_token")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    alias: _alias_pb2.Alias
    created: bool
    consistency_token: str
    def __init__(self, alias: _Optional[_Union[_alias_pb2.Alias, _Mapping]] = ..., created: bool = ..., consistency_token: _Optional[str] = ...) -> None: ...

class BatchCreateAliasesRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[CreateAliasRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[CreateAliasRequest, _Mapping]]] = ...) -> None: ...

class BatchCreateAliasesResponse(_message.Message):
    __slots__ = ("results", "consistency_token")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CreateAliasResult]
    consistency_token: str
    def __init__(self, results: _Optional[_Iterable[_Union[CreateAliasResult, _Mapping]]] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class CreateAliasResult(_message.Message):
    __slots__ = ("response", "failure")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    response: CreateAliasResponse
    failure: _alias_pb2.Failure
    def __init__(self, response: _Optional[_Union[CreateAliasResponse, _Mapping]] = ..., failure: _Optional[_Union[_alias_pb2.Failure, _Mapping]] = ...) -> None: ...

class GetAliasRequest(_message.Message):
    __slots__ = ("project_id", "alias_id")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: int
    alias_id: str
    def __init__(self, project_id: _Optional[int] = ..., alias_id: _Optional[str] = ...) -> None: ...

class UpdateAliasRequest(_message.Message):
    __slots__ = ("project_id", "alias_id", "canonical_id", "expected_version")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_ID_FIELD_NUMBER: _ClassVar[int]
    CANONICAL_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    project_id: int
    alias_id: str
    canonical_id: str
    expected_version: int
    def __init__(self, project_id: _Optional[int] = ..., alias_id: _Optional[str] = ..., canonical_id: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class UpdateAliasResponse(_message.Message):
    __slots__ = ("alias", "consistency_token")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    alias: _alias_pb2.Alias
    consistency_token: str
    def __init__(self, alias: _Optional[_Union[_alias_pb2.Alias, _Mapping]] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class DeleteAliasRequest(_message.Message):
    __slots__ = ("project_id", "alias_id", "expected_version")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    project_id: int
    alias_id: str
    expected_version: int
    def __init__(self, project_id: _Optional[int] = ..., alias_id: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class DeleteAliasResponse(_message.Message):
    __slots__ = ("consistency_token",)
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    consistency_token: str
    def __init__(self, consistency_token: _Optional[str] = ...) -> None: ...

class ListAliasesRequest(_message.Message):
    __slots__ = ("project_id", "canonical_id", "page_size", "page_token")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CANONICAL_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project_id: int
    canonical_id: str
    page_size: int
    page_token: str
    def __init__(self, project_id: _Optional[int] = ..., canonical_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAliasesResponse(_message.Message):
    __slots__ = ("aliases", "next_page_token")
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    aliases: _containers.RepeatedCompositeFieldContainer[_alias_pb2.Alias]
    next_page_token: str
    def __init__(self, aliases: _Optional[_Iterable[_Union[_alias_pb2.Alias, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
