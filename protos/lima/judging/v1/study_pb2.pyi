import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROTOCOL_UNSPECIFIED: _ClassVar[Protocol]
    PROTOCOL_PAIRWISE: _ClassVar[Protocol]
    PROTOCOL_LIKERT: _ClassVar[Protocol]
    PROTOCOL_ABSOLUTE: _ClassVar[Protocol]
    PROTOCOL_SAFETY: _ClassVar[Protocol]
    PROTOCOL_DIALOGUE_TURN: _ClassVar[Protocol]
    PROTOCOL_DIALOGUE_PAIR: _ClassVar[Protocol]

class Choice(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHOICE_UNSPECIFIED: _ClassVar[Choice]
    CHOICE_WIN: _ClassVar[Choice]
    CHOICE_TIE: _ClassVar[Choice]
    CHOICE_LOSE: _ClassVar[Choice]
PROTOCOL_UNSPECIFIED: Protocol
PROTOCOL_PAIRWISE: Protocol
PROTOCOL_LIKERT: Protocol
PROTOCOL_ABSOLUTE: Protocol
PROTOCOL_SAFETY: Protocol
PROTOCOL_DIALOGUE_TURN: Protocol
PROTOCOL_DIALOGUE_PAIR: Protocol
CHOICE_UNSPECIFIED: Choice
CHOICE_WIN: Choice
CHOICE_TIE: Choice
CHOICE_LOSE: Choice

class StudySpec(_message.Message):
    __slots__ = ("name", "protocol", "systems", "judges", "seed", "template", "human", "limits", "selection")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SYSTEMS_FIELD_NUMBER: _ClassVar[int]
    JUDGES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    HUMAN_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    protocol: Protocol
    systems: _containers.RepeatedCompositeFieldContainer[System]
    judges: _containers.RepeatedCompositeFieldContainer[JudgeSpec]
    seed: int
    template: str
    human: HumanSpec
    limits: Limits
    selection: Selection
    def __init__(self, name: _Optional[str] = ..., protocol: _Optional[_Union[Protocol, str]] = ..., systems: _Optional[_Iterable[_Union[System, _Mapping]]] = ..., judges: _Optional[_Iterable[_Union[JudgeSpec, _Mapping]]] = ..., seed: _Optional[int] = ..., template: _Optional[str] = ..., human: _Optional[_Union[HumanSpec, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("run", "first_epoch", "last_epoch")
    RUN_FIELD_NUMBER: _ClassVar[int]
    FIRST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    run: str
    first_epoch: int
    last_epoch: int
    def __init__(self, run: _Optional[str] = ..., first_epoch: _Optional[int] = ..., last_epoch: _Optional[int] = ...) -> None: ...

class System(_message.Message):
    __slots__ = ("name", "responses_uri")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_URI_FIELD_NUMBER: _ClassVar[int]
    name: str
    responses_uri: str
    def __init__(self, name: _Optional[str] = ..., responses_uri: _Optional[str] = ...) -> None: ...

class JudgeSpec(_message.Message):
    __slots__ = ("name", "model", "both_orders", "use_logprobs", "concurrency", "max_attempts", "samples", "max_tokens")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BOTH_ORDERS_FIELD_NUMBER: _ClassVar[int]
    USE_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    both_orders: bool
    use_logprobs: bool
    concurrency: int
    max_attempts: int
    samples: int
    max_tokens: int
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., both_orders: _Optional[bool] = ..., use_logprobs: _Optional[bool] = ..., concurrency: _Optional[int] = ..., max_attempts: _Optional[int] = ..., samples: _Optional[int] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class HumanSpec(_message.Message):
    __slots__ = ("overlap", "gold", "lease_seconds", "groups")
    class GoldEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class GroupsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    GOLD_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    overlap: int
    gold: _containers.ScalarMap[str, str]
    lease_seconds: int
    groups: _containers.ScalarMap[str, str]
    def __init__(self, overlap: _Optional[int] = ..., gold: _Optional[_Mapping[str, str]] = ..., lease_seconds: _Optional[int] = ..., groups: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_cost_usd", "max_tokens", "max_seconds")
    MAX_COST_USD_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    max_cost_usd: float
    max_tokens: int
    max_seconds: int
    def __init__(self, max_cost_usd: _Optional[float] = ..., max_tokens: _Optional[int] = ..., max_seconds: _Optional[int] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("id", "prompt_id", "systems", "judge", "judge_kind", "choice", "score", "label", "first_on_a", "state", "reasoning", "sample", "seconds", "create_time", "gold_correct", "preference", "scores")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    SYSTEMS_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    JUDGE_KIND_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FIRST_ON_A_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    GOLD_CORRECT_FIELD_NUMBER: _ClassVar[int]
    PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    id: str
    prompt_id: str
    systems: _containers.RepeatedScalarFieldContainer[str]
    judge: str
    judge_kind: str
    choice: Choice
    score: float
    label: str
    first_on_a: bool
    state: str
    reasoning: str
    sample: int
    seconds: float
    create_time: _timestamp_pb2.Timestamp
    gold_correct: bool
    preference: float
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, id: _Optional[str] = ..., prompt_id: _Optional[str] = ..., systems: _Optional[_Iterable[str]] = ..., judge: _Optional[str] = ..., judge_kind: _Optional[str] = ..., choice: _Optional[_Union[Choice, str]] = ..., score: _Optional[float] = ..., label: _Optional[str] = ..., first_on_a: _Optional[bool] = ..., state: _Optional[str] = ..., reasoning: _Optional[str] = ..., sample: _Optional[int] = ..., seconds: _Optional[float] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., gold_correct: _Optional[bool] = ..., preference: _Optional[float] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class Study(_message.Message):
    __slots__ = ("name", "spec", "state", "item_count", "verdict_count", "digest", "create_time", "ledger", "state_message")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Study.State]
        STATE_OPEN: _ClassVar[Study.State]
        STATE_RUNNING: _ClassVar[Study.State]
        STATE_DONE: _ClassVar[Study.State]
        STATE_FAILED: _ClassVar[Study.State]
    STATE_UNSPECIFIED: Study.State
    STATE_OPEN: Study.State
    STATE_RUNNING: Study.State
    STATE_DONE: Study.State
    STATE_FAILED: Study.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERDICT_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    STATE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    spec: StudySpec
    state: Study.State
    item_count: int
    verdict_count: int
    digest: str
    create_time: _timestamp_pb2.Timestamp
    ledger: Ledger
    state_message: str
    def __init__(self, name: _Optional[str] = ..., spec: _Optional[_Union[StudySpec, _Mapping]] = ..., state: _Optional[_Union[Study.State, str]] = ..., item_count: _Optional[int] = ..., verdict_count: _Optional[int] = ..., digest: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ledger: _Optional[_Union[Ledger, _Mapping]] = ..., state_message: _Optional[str] = ...) -> None: ...

class Ledger(_message.Message):
    __slots__ = ("calls", "cached_calls", "prompt_tokens", "completion_tokens", "cost_usd", "seconds")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CACHED_CALLS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    calls: int
    cached_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    seconds: float
    def __init__(self, calls: _Optional[int] = ..., cached_calls: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., seconds: _Optional[float] = ...) -> None: ...
