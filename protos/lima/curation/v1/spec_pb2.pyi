from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DatasetSpec(_message.Message):
    __slots__ = ("name", "seed", "sources", "dedup", "decontamination", "pii", "review", "max_malformed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    DEDUP_FIELD_NUMBER: _ClassVar[int]
    DECONTAMINATION_FIELD_NUMBER: _ClassVar[int]
    PII_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    MAX_MALFORMED_FIELD_NUMBER: _ClassVar[int]
    name: str
    seed: int
    sources: _containers.RepeatedCompositeFieldContainer[SourceSpec]
    dedup: DedupSpec
    decontamination: DecontaminationSpec
    pii: PiiSpec
    review: ReviewSpec
    max_malformed: int
    def __init__(self, name: _Optional[str] = ..., seed: _Optional[int] = ..., sources: _Optional[_Iterable[_Union[SourceSpec, _Mapping]]] = ..., dedup: _Optional[_Union[DedupSpec, _Mapping]] = ..., decontamination: _Optional[_Union[DecontaminationSpec, _Mapping]] = ..., pii: _Optional[_Union[PiiSpec, _Mapping]] = ..., review: _Optional[_Union[ReviewSpec, _Mapping]] = ..., max_malformed: _Optional[int] = ...) -> None: ...

class SourceSpec(_message.Message):
    __slots__ = ("name", "corpus", "quota", "stack_exchange", "wikihow", "reddit", "natural_instructions", "authored", "dialogue", "existing")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    STACK_EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    WIKIHOW_FIELD_NUMBER: _ClassVar[int]
    REDDIT_FIELD_NUMBER: _ClassVar[int]
    NATURAL_INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    AUTHORED_FIELD_NUMBER: _ClassVar[int]
    DIALOGUE_FIELD_NUMBER: _ClassVar[int]
    EXISTING_FIELD_NUMBER: _ClassVar[int]
    name: str
    corpus: str
    quota: Quota
    stack_exchange: StackExchangeSource
    wikihow: WikihowSource
    reddit: RedditSource
    natural_instructions: NaturalInstructionsSource
    authored: AuthoredSource
    dialogue: DialogueSource
    existing: ExistingSource
    def __init__(self, name: _Optional[str] = ..., corpus: _Optional[str] = ..., quota: _Optional[_Union[Quota, _Mapping]] = ..., stack_exchange: _Optional[_Union[StackExchangeSource, _Mapping]] = ..., wikihow: _Optional[_Union[WikihowSource, _Mapping]] = ..., reddit: _Optional[_Union[RedditSource, _Mapping]] = ..., natural_instructions: _Optional[_Union[NaturalInstructionsSource, _Mapping]] = ..., authored: _Optional[_Union[AuthoredSource, _Mapping]] = ..., dialogue: _Optional[_Union[DialogueSource, _Mapping]] = ..., existing: _Optional[_Union[ExistingSource, _Mapping]] = ...) -> None: ...

class Quota(_message.Message):
    __slots__ = ("train", "dev", "test", "allow_fewer")
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    DEV_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    ALLOW_FEWER_FIELD_NUMBER: _ClassVar[int]
    train: int
    dev: int
    test: int
    allow_fewer: bool
    def __init__(self, train: _Optional[int] = ..., dev: _Optional[int] = ..., test: _Optional[int] = ..., allow_fewer: _Optional[bool] = ...) -> None: ...

class StackExchangeSource(_message.Message):
    __slots__ = ("group", "temperature", "min_answer_score", "min_characters", "max_characters", "filtered", "title_probability", "first_person", "cross_references", "exchanges")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MIN_ANSWER_SCORE_FIELD_NUMBER: _ClassVar[int]
    MIN_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    TITLE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FIRST_PERSON_FIELD_NUMBER: _ClassVar[int]
    CROSS_REFERENCES_FIELD_NUMBER: _ClassVar[int]
    EXCHANGES_FIELD_NUMBER: _ClassVar[int]
    group: str
    temperature: float
    min_answer_score: int
    min_characters: int
    max_characters: int
    filtered: bool
    title_probability: float
    first_person: _containers.RepeatedScalarFieldContainer[str]
    cross_references: _containers.RepeatedScalarFieldContainer[str]
    exchanges: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, group: _Optional[str] = ..., temperature: _Optional[float] = ..., min_answer_score: _Optional[int] = ..., min_characters: _Optional[int] = ..., max_characters: _Optional[int] = ..., filtered: _Optional[bool] = ..., title_probability: _Optional[float] = ..., first_person: _Optional[_Iterable[str]] = ..., cross_references: _Optional[_Iterable[str]] = ..., exchanges: _Optional[_Iterable[str]] = ...) -> None: ...

class WikihowSource(_message.Message):
    __slots__ = ("pruned_sections",)
    PRUNED_SECTIONS_FIELD_NUMBER: _ClassVar[int]
    pruned_sections: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pruned_sections: _Optional[_Iterable[str]] = ...) -> None: ...

class RedditSource(_message.Message):
    __slots__ = ("subreddit", "min_score", "min_characters", "max_characters", "prompts_only")
    SUBREDDIT_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    MIN_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_ONLY_FIELD_NUMBER: _ClassVar[int]
    subreddit: str
    min_score: int
    min_characters: int
    max_characters: int
    prompts_only: bool
    def __init__(self, subreddit: _Optional[str] = ..., min_score: _Optional[int] = ..., min_characters: _Optional[int] = ..., max_characters: _Optional[int] = ..., prompts_only: _Optional[bool] = ...) -> None: ...

class NaturalInstructionsSource(_message.Message):
    __slots__ = ("categories",)
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    categories: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, categories: _Optional[_Iterable[str]] = ...) -> None: ...

class AuthoredSource(_message.Message):
    __slots__ = ("group", "tags")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    group: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, group: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class DialogueSource(_message.Message):
    __slots__ = ("origin", "min_turns")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    MIN_TURNS_FIELD_NUMBER: _ClassVar[int]
    origin: str
    min_turns: int
    def __init__(self, origin: _Optional[str] = ..., min_turns: _Optional[int] = ...) -> None: ...

class ExistingSource(_message.Message):
    __slots__ = ("format",)
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    format: str
    def __init__(self, format: _Optional[str] = ...) -> None: ...

class DedupSpec(_message.Message):
    __slots__ = ("enabled", "threshold", "permutations")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PERMUTATIONS_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    threshold: float
    permutations: int
    def __init__(self, enabled: _Optional[bool] = ..., threshold: _Optional[float] = ..., permutations: _Optional[int] = ...) -> None: ...

class DecontaminationSpec(_message.Message):
    __slots__ = ("enabled", "benchmark_corpora")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    BENCHMARK_CORPORA_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    benchmark_corpora: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, enabled: _Optional[bool] = ..., benchmark_corpora: _Optional[_Iterable[str]] = ...) -> None: ...

class PiiSpec(_message.Message):
    __slots__ = ("enabled", "action")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    action: str
    def __init__(self, enabled: _Optional[bool] = ..., action: _Optional[str] = ...) -> None: ...

class ReviewSpec(_message.Message):
    __slots__ = ("required", "overlap", "pool")
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    required: bool
    overlap: int
    pool: int
    def __init__(self, required: _Optional[bool] = ..., overlap: _Optional[int] = ..., pool: _Optional[int] = ...) -> None: ...
