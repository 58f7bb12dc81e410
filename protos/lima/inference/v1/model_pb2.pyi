import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Model(_message.Message):
    __slots__ = ("name", "state", "kind", "uri", "digest", "parameter_count", "context_length", "engine", "ready_replicas", "state_message", "origin", "create_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Model.State]
        STATE_REGISTERED: _ClassVar[Model.State]
        STATE_LOADING: _ClassVar[Model.State]
        STATE_READY: _ClassVar[Model.State]
        STATE_FAILED: _ClassVar[Model.State]
    STATE_UNSPECIFIED: Model.State
    STATE_REGISTERED: Model.State
    STATE_LOADING: Model.State
    STATE_READY: Model.State
    STATE_FAILED: Model.State
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Model.Kind]
        KIND_REPLICA: _ClassVar[Model.Kind]
        KIND_UPSTREAM: _ClassVar[Model.Kind]
        KIND_RECORDED: _ClassVar[Model.Kind]
    KIND_UNSPECIFIED: Model.Kind
    KIND_REPLICA: Model.Kind
    KIND_UPSTREAM: Model.Kind
    KIND_RECORDED: Model.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    READY_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    STATE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Model.State
    kind: Model.Kind
    uri: str
    digest: str
    parameter_count: int
    context_length: int
    engine: str
    ready_replicas: int
    state_message: str
    origin: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Model.State, str]] = ..., kind: _Optional[_Union[Model.Kind, str]] = ..., uri: _Optional[str] = ..., digest: _Optional[str] = ..., parameter_count: _Optional[int] = ..., context_length: _Optional[int] = ..., engine: _Optional[str] = ..., ready_replicas: _Optional[int] = ..., state_message: _Optional[str] = ..., origin: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RegisterModelRequest(_message.Message):
    __slots__ = ("model_id", "version", "folder_uri", "hub_id", "checkpoint", "package", "upstream", "recorded_uri", "request_id")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FOLDER_URI_FIELD_NUMBER: _ClassVar[int]
    HUB_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_FIELD_NUMBER: _ClassVar[int]
    RECORDED_URI_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    version: str
    folder_uri: str
    hub_id: str
    checkpoint: str
    package: str
    upstream: UpstreamSource
    recorded_uri: str
    request_id: str
    def __init__(self, model_id: _Optional[str] = ..., version: _Optional[str] = ..., folder_uri: _Optional[str] = ..., hub_id: _Optional[str] = ..., checkpoint: _Optional[str] = ..., package: _Optional[str] = ..., upstream: _Optional[_Union[UpstreamSource, _Mapping]] = ..., recorded_uri: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpstreamSource(_message.Message):
    __slots__ = ("base_url", "model", "key_secret", "requests_per_minute", "tokens_per_minute", "usd_per_million_prompt_tokens", "usd_per_million_completion_tokens", "spend_cap_usd")
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KEY_SECRET_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    USD_PER_MILLION_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    USD_PER_MILLION_COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SPEND_CAP_USD_FIELD_NUMBER: _ClassVar[int]
    base_url: str
    model: str
    key_secret: str
    requests_per_minute: int
    tokens_per_minute: int
    usd_per_million_prompt_tokens: float
    usd_per_million_completion_tokens: float
    spend_cap_usd: float
    def __init__(self, base_url: _Optional[str] = ..., model: _Optional[str] = ..., key_secret: _Optional[str] = ..., requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., usd_per_million_prompt_tokens: _Optional[float] = ..., usd_per_million_completion_tokens: _Optional[float] = ..., spend_cap_usd: _Optional[float] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LoadModelRequest(_message.Message):
    __slots__ = ("name", "min_replicas", "max_replicas", "engine", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    min_replicas: int
    max_replicas: int
    engine: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., min_replicas: _Optional[int] = ..., max_replicas: _Optional[int] = ..., engine: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UnloadModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Alias(_message.Message):
    __slots__ = ("name", "model", "history")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    history: _containers.RepeatedCompositeFieldContainer[AliasChange]
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., history: _Optional[_Iterable[_Union[AliasChange, _Mapping]]] = ...) -> None: ...

class AliasChange(_message.Message):
    __slots__ = ("model", "changed_by", "change_time")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHANGED_BY_FIELD_NUMBER: _ClassVar[int]
    CHANGE_TIME_FIELD_NUMBER: _ClassVar[int]
    model: str
    changed_by: str
    change_time: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., changed_by: _Optional[str] = ..., change_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("name", "model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class GetAliasRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RollbackAliasRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
