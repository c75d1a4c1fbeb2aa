from aka_client._proto.aka.v1 import alias_pb2 as _alias_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ResolveRequest(_message.Message):
    __slots__ = ("project_id", "distinct_id", "consistency_token")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_ID_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project_id: int
    distinct_id: str
    consistency_token: str
    def __init__(self, project_id: _Optional[int] = ..., distinct_id: _Optional[str] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class ResolveResponse(_message.Message):
    __slots__ = ("canonical_id", "is_alias", "degraded")
    CANONICAL_ID_FIELD_NUMBER: _ClassVar[int]
    IS_ALIAS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    canonical_id: str
    is_alias: bool
    degraded: bool
    def __init__(self, canonical_id: _Optional[str] = ..., is_alias: bool = ..., degraded: bool = ...) -> None: ...

class BatchResolveRequest(_message.Message):
    __slots__ = ("project_id", "distinct_ids", "consistency_token")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_IDS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project_id: int
    distinct_ids: _containers.RepeatedScalarFieldContainer[str]
    consistency_token: str
    def __init__(self, project_id: _Optional[int] = ..., distinct_ids: _Optional[_Iterable[str]] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class BatchResolveResponse(_message.Message):
    __slots__ = ("aliases", "failures", "degraded")
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    aliases: _containers.RepeatedCompositeFieldContainer[Resolved]
    failures: _containers.RepeatedCompositeFieldContainer[_alias_pb2.Failure]
    degraded: bool
    def __init__(self, aliases: _Optional[_Iterable[_Union[Resolved, _Mapping]]] = ..., failures: _Optional[_Iterable[_Union[_alias_pb2.Failure, _Mapping]]] = ..., degraded: bool = ...) -> None: ...

class Resolved(_message.Message):
    __slots__ = ("index", "canonical_id")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CANONICAL_ID_FIELD_NUMBER: _ClassVar[int]
    index: int
    canonical_id: str
    def __init__(self, index: _Optional[int] = ..., canonical_id: _Optional[str] = ...) -> None: ...
