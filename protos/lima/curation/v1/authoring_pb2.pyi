import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from lima.common.v1 import message_pb2 as _message_pb2
from lima.curation.v1 import curation_pb2 as _curation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DraftState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRAFT_STATE_UNSPECIFIED: _ClassVar[DraftState]
    DRAFT_STATE_OPEN: _ClassVar[DraftState]
    DRAFT_STATE_SUBMITTED: _ClassVar[DraftState]
DRAFT_STATE_UNSPECIFIED: DraftState
DRAFT_STATE_OPEN: DraftState
DRAFT_STATE_SUBMITTED: DraftState

class Draft(_message.Message):
    __slots__ = ("name", "group", "split", "messages", "tags", "author", "state", "style", "etag", "create_time", "update_time", "attribution")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    group: str
    split: str
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    tags: _containers.RepeatedScalarFieldContainer[str]
    author: str
    state: DraftState
    style: StyleReport
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    attribution: _message_pb2.Attribution
    def __init__(self, name: _Optional[str] = ..., group: _Optional[str] = ..., split: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., tags: _Optional[_Iterable[str]] = ..., author: _Optional[str] = ..., state: _Optional[_Union[DraftState, str]] = ..., style: _Optional[_Union[StyleReport, _Mapping]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attribution: _Optional[_Union[_message_pb2.Attribution, _Mapping]] = ...) -> None: ...

class StyleReport(_message.Message):
    __slots__ = ("remarks", "prompt_tokens", "response_tokens")
    REMARKS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    remarks: _containers.RepeatedCompositeFieldContainer[StyleRemark]
    prompt_tokens: int
    response_tokens: int
    def __init__(self, remarks: _Optional[_Iterable[_Union[StyleRemark, _Mapping]]] = ..., prompt_tokens: _Optional[int] = ..., response_tokens: _Optional[int] = ...) -> None: ...

class StyleRemark(_message.Message):
    __slots__ = ("rule", "message", "turn")
    RULE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    rule: str
    message: str
    turn: int
    def __init__(self, rule: _Optional[str] = ..., message: _Optional[str] = ..., turn: _Optional[int] = ...) -> None: ...

class CreateDraftRequest(_message.Message):
    __slots__ = ("parent", "draft", "request_id")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    draft: Draft
    request_id: str
    def __init__(self, parent: _Optional[str] = ..., draft: _Optional[_Union[Draft, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetDraftRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListDraftsRequest(_message.Message):
    __slots__ = ("parent", "author", "group", "state", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    author: str
    group: str
    state: DraftState
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., author: _Optional[str] = ..., group: _Optional[str] = ..., state: _Optional[_Union[DraftState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDraftsResponse(_message.Message):
    __slots__ = ("drafts", "next_page_token")
    DRAFTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    drafts: _containers.RepeatedCompositeFieldContainer[Draft]
    next_page_token: str
    def __init__(self, drafts: _Optional[_Iterable[_Union[Draft, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateDraftRequest(_message.Message):
    __slots__ = ("draft",)
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    draft: Draft
    def __init__(self, draft: _Optional[_Union[Draft, _Mapping]] = ...) -> None: ...

class DeleteDraftRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteDraftResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubmitDraftRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class GetAuthoringProgressRequest(_message.Message):
    __slots__ = ("parent",)
    PARENT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    def __init__(self, parent: _Optional[str] = ...) -> None: ...

class AuthoringProgress(_message.Message):
    __slots__ = ("quotas", "by_author")
    class ByAuthorEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    BY_AUTHOR_FIELD_NUMBER: _ClassVar[int]
    quotas: _containers.RepeatedCompositeFieldContainer[AuthoringQuota]
    by_author: _containers.ScalarMap[str, int]
    def __init__(self, quotas: _Optional[_Iterable[_Union[AuthoringQuota, _Mapping]]] = ..., by_author: _Optional[_Mapping[str, int]] = ...) -> None: ...

class AuthoringQuota(_message.Message):
    __slots__ = ("group", "split", "tag", "wanted", "open", "submitted")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_FIELD_NUMBER: _ClassVar[int]
    group: str
    split: str
    tag: str
    wanted: int
    open: int
    submitted: int
    def __init__(self, group: _Optional[str] = ..., split: _Optional[str] = ..., tag: _Optional[str] = ..., wanted: _Optional[int] = ..., open: _Optional[int] = ..., submitted: _Optional[int] = ...) -> None: ...

class CheckStyleRequest(_message.Message):
    __slots__ = ("messages", "tags")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class PublishCollectionRequest(_message.Message):
    __slots__ = ("name", "corpus_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CORPUS_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    corpus_id: str
    def __init__(self, name: _Optional[str] = ..., corpus_id: _Optional[str] = ...) -> None: ...
