import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from lima.common.v1 import message_pb2 as _message_pb2
from lima.curation.v1 import curation_pb2 as _curation_pb2
from lima.curation.v1 import spec_pb2 as _spec_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_ACCEPT: _ClassVar[Decision]
    DECISION_REJECT: _ClassVar[Decision]
    DECISION_EDIT: _ClassVar[Decision]
    DECISION_SKIP: _ClassVar[Decision]
DECISION_UNSPECIFIED: Decision
DECISION_ACCEPT: Decision
DECISION_REJECT: Decision
DECISION_EDIT: Decision
DECISION_SKIP: Decision

class Queue(_message.Message):
    __slots__ = ("name", "overlap", "progress", "funnel")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FUNNEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    overlap: int
    progress: ReviewProgress
    funnel: _curation_pb2.Funnel
    def __init__(self, name: _Optional[str] = ..., overlap: _Optional[int] = ..., progress: _Optional[_Union[ReviewProgress, _Mapping]] = ..., funnel: _Optional[_Union[_curation_pb2.Funnel, _Mapping]] = ...) -> None: ...

class FillQueueRequest(_message.Message):
    __slots__ = ("spec", "request_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec: _spec_pb2.DatasetSpec
    request_id: str
    def __init__(self, spec: _Optional[_Union[_spec_pb2.DatasetSpec, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ListQueuesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQueuesResponse(_message.Message):
    __slots__ = ("queues", "next_page_token")
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedCompositeFieldContainer[Queue]
    next_page_token: str
    def __init__(self, queues: _Optional[_Iterable[_Union[Queue, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Review(_message.Message):
    __slots__ = ("reviewer", "decision", "reason", "messages", "create_time")
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    reviewer: str
    decision: Decision
    reason: str
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, reviewer: _Optional[str] = ..., decision: _Optional[_Union[Decision, str]] = ..., reason: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("name", "source", "messages", "attribution", "score", "notes", "reviews", "near_duplicates", "etag", "lease_expire_time", "state")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    REVIEWS_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    attribution: _message_pb2.Attribution
    score: float
    notes: _containers.RepeatedScalarFieldContainer[str]
    reviews: _containers.RepeatedCompositeFieldContainer[Review]
    near_duplicates: _containers.RepeatedScalarFieldContainer[str]
    etag: str
    lease_expire_time: _timestamp_pb2.Timestamp
    state: str
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., attribution: _Optional[_Union[_message_pb2.Attribution, _Mapping]] = ..., score: _Optional[float] = ..., notes: _Optional[_Iterable[str]] = ..., reviews: _Optional[_Iterable[_Union[Review, _Mapping]]] = ..., near_duplicates: _Optional[_Iterable[str]] = ..., etag: _Optional[str] = ..., lease_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[str] = ...) -> None: ...

class ListCandidatesRequest(_message.Message):
    __slots__ = ("parent", "source", "state", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    source: str
    state: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., source: _Optional[str] = ..., state: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCandidatesResponse(_message.Message):
    __slots__ = ("candidates", "next_page_token")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    next_page_token: str
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetCandidateRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class AssignCandidateRequest(_message.Message):
    __slots__ = ("parent", "reviewer", "source")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    reviewer: str
    source: str
    def __init__(self, parent: _Optional[str] = ..., reviewer: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class SubmitReviewRequest(_message.Message):
    __slots__ = ("name", "etag", "review")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    review: Review
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., review: _Optional[_Union[Review, _Mapping]] = ...) -> None: ...

class UndoReviewRequest(_message.Message):
    __slots__ = ("parent", "reviewer")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    reviewer: str
    def __init__(self, parent: _Optional[str] = ..., reviewer: _Optional[str] = ...) -> None: ...

class GetReviewProgressRequest(_message.Message):
    __slots__ = ("parent",)
    PARENT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    def __init__(self, parent: _Optional[str] = ...) -> None: ...

class ReviewProgress(_message.Message):
    __slots__ = ("pending", "accepted", "rejected", "conflicting", "by_reviewer", "sources")
    class ByReviewerEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PENDING_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    CONFLICTING_FIELD_NUMBER: _ClassVar[int]
    BY_REVIEWER_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    pending: int
    accepted: int
    rejected: int
    conflicting: int
    by_reviewer: _containers.ScalarMap[str, int]
    sources: _containers.RepeatedCompositeFieldContainer[SourceProgress]
    def __init__(self, pending: _Optional[int] = ..., accepted: _Optional[int] = ..., rejected: _Optional[int] = ..., conflicting: _Optional[int] = ..., by_reviewer: _Optional[_Mapping[str, int]] = ..., sources: _Optional[_Iterable[_Union[SourceProgress, _Mapping]]] = ...) -> None: ...

class SourceProgress(_message.Message):
    __slots__ = ("source", "wanted", "accepted", "pending")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    source: str
    wanted: int
    accepted: int
    pending: int
    def __init__(self, source: _Optional[str] = ..., wanted: _Optional[int] = ..., accepted: _Optional[int] = ..., pending: _Optional[int] = ...) -> None: ...
