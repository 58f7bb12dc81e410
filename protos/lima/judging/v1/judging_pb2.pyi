import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from lima.common.v1 import message_pb2 as _message_pb2
from lima.judging.v1 import study_pb2 as _study_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateStudyRequest(_message.Message):
    __slots__ = ("spec", "request_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec: _study_pb2.StudySpec
    request_id: str
    def __init__(self, spec: _Optional[_Union[_study_pb2.StudySpec, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetStudyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListStudiesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListStudiesResponse(_message.Message):
    __slots__ = ("studies", "next_page_token")
    STUDIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    studies: _containers.RepeatedCompositeFieldContainer[_study_pb2.Study]
    next_page_token: str
    def __init__(self, studies: _Optional[_Iterable[_Union[_study_pb2.Study, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteStudyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetStudyProgressRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StudyProgress(_message.Message):
    __slots__ = ("judges", "annotators")
    JUDGES_FIELD_NUMBER: _ClassVar[int]
    ANNOTATORS_FIELD_NUMBER: _ClassVar[int]
    judges: _containers.RepeatedCompositeFieldContainer[JudgeProgress]
    annotators: _containers.RepeatedCompositeFieldContainer[AnnotatorProgress]
    def __init__(self, judges: _Optional[_Iterable[_Union[JudgeProgress, _Mapping]]] = ..., annotators: _Optional[_Iterable[_Union[AnnotatorProgress, _Mapping]]] = ...) -> None: ...

class JudgeProgress(_message.Message):
    __slots__ = ("judge", "kind", "done", "total", "unparsable", "failed")
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    UNPARSABLE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    judge: str
    kind: str
    done: int
    total: int
    unparsable: int
    failed: int
    def __init__(self, judge: _Optional[str] = ..., kind: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., unparsable: _Optional[int] = ..., failed: _Optional[int] = ...) -> None: ...

class RunStudyRequest(_message.Message):
    __slots__ = ("name", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ImportVerdictsRequest(_message.Message):
    __slots__ = ("name", "source_uri", "format", "systems")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SYSTEMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    source_uri: str
    format: str
    systems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., source_uri: _Optional[str] = ..., format: _Optional[str] = ..., systems: _Optional[_Iterable[str]] = ...) -> None: ...

class ImportResponsesRequest(_message.Message):
    __slots__ = ("source_uri", "format", "prompts_uri")
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_URI_FIELD_NUMBER: _ClassVar[int]
    source_uri: str
    format: str
    prompts_uri: str
    def __init__(self, source_uri: _Optional[str] = ..., format: _Optional[str] = ..., prompts_uri: _Optional[str] = ...) -> None: ...

class ImportResponsesResponse(_message.Message):
    __slots__ = ("systems", "problems")
    SYSTEMS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    systems: _containers.RepeatedCompositeFieldContainer[_study_pb2.System]
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, systems: _Optional[_Iterable[_Union[_study_pb2.System, _Mapping]]] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class ImportVerdictsResponse(_message.Message):
    __slots__ = ("imported", "skipped", "problems")
    IMPORTED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    imported: int
    skipped: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, imported: _Optional[int] = ..., skipped: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class ExportVerdictsRequest(_message.Message):
    __slots__ = ("name", "format")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    name: str
    format: str
    def __init__(self, name: _Optional[str] = ..., format: _Optional[str] = ...) -> None: ...

class ExportVerdictsResponse(_message.Message):
    __slots__ = ("uri", "exported", "excluded")
    class ExcludedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    URI_FIELD_NUMBER: _ClassVar[int]
    EXPORTED_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    uri: str
    exported: int
    excluded: _containers.ScalarMap[str, int]
    def __init__(self, uri: _Optional[str] = ..., exported: _Optional[int] = ..., excluded: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ListVerdictsRequest(_message.Message):
    __slots__ = ("parent", "judge", "state", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    judge: str
    state: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., judge: _Optional[str] = ..., state: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVerdictsResponse(_message.Message):
    __slots__ = ("verdicts", "next_page_token")
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    verdicts: _containers.RepeatedCompositeFieldContainer[_study_pb2.Verdict]
    next_page_token: str
    def __init__(self, verdicts: _Optional[_Iterable[_Union[_study_pb2.Verdict, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetResultsRequest(_message.Message):
    __slots__ = ("name", "current")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    current: bool
    def __init__(self, name: _Optional[str] = ..., current: _Optional[bool] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("value", "low", "high", "n", "excluded", "method")
    class ExcludedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    n: int
    excluded: _containers.ScalarMap[str, int]
    method: str
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., n: _Optional[int] = ..., excluded: _Optional[_Mapping[str, int]] = ..., method: _Optional[str] = ...) -> None: ...

class PairResult(_message.Message):
    __slots__ = ("first", "second", "judge", "win", "tie", "lose", "win_rate", "flip_rate", "position_bias", "wins", "ties", "losses", "sign_p", "position_p", "longer_preferred", "length_controlled_win_rate")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    WIN_FIELD_NUMBER: _ClassVar[int]
    TIE_FIELD_NUMBER: _ClassVar[int]
    LOSE_FIELD_NUMBER: _ClassVar[int]
    WIN_RATE_FIELD_NUMBER: _ClassVar[int]
    FLIP_RATE_FIELD_NUMBER: _ClassVar[int]
    POSITION_BIAS_FIELD_NUMBER: _ClassVar[int]
    WINS_FIELD_NUMBER: _ClassVar[int]
    TIES_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    SIGN_P_FIELD_NUMBER: _ClassVar[int]
    POSITION_P_FIELD_NUMBER: _ClassVar[int]
    LONGER_PREFERRED_FIELD_NUMBER: _ClassVar[int]
    LENGTH_CONTROLLED_WIN_RATE_FIELD_NUMBER: _ClassVar[int]
    first: str
    second: str
    judge: str
    win: Estimate
    tie: Estimate
    lose: Estimate
    win_rate: Estimate
    flip_rate: Estimate
    position_bias: Estimate
    wins: int
    ties: int
    losses: int
    sign_p: float
    position_p: float
    longer_preferred: Estimate
    length_controlled_win_rate: Estimate
    def __init__(self, first: _Optional[str] = ..., second: _Optional[str] = ..., judge: _Optional[str] = ..., win: _Optional[_Union[Estimate, _Mapping]] = ..., tie: _Optional[_Union[Estimate, _Mapping]] = ..., lose: _Optional[_Union[Estimate, _Mapping]] = ..., win_rate: _Optional[_Union[Estimate, _Mapping]] = ..., flip_rate: _Optional[_Union[Estimate, _Mapping]] = ..., position_bias: _Optional[_Union[Estimate, _Mapping]] = ..., wins: _Optional[int] = ..., ties: _Optional[int] = ..., losses: _Optional[int] = ..., sign_p: _Optional[float] = ..., position_p: _Optional[float] = ..., longer_preferred: _Optional[_Union[Estimate, _Mapping]] = ..., length_controlled_win_rate: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class StrengthResult(_message.Message):
    __slots__ = ("system", "judge", "log_odds")
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    LOG_ODDS_FIELD_NUMBER: _ClassVar[int]
    system: str
    judge: str
    log_odds: Estimate
    def __init__(self, system: _Optional[str] = ..., judge: _Optional[str] = ..., log_odds: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class ReliabilityResult(_message.Message):
    __slots__ = ("group", "fleiss_kappa", "krippendorff_alpha")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    FLEISS_KAPPA_FIELD_NUMBER: _ClassVar[int]
    KRIPPENDORFF_ALPHA_FIELD_NUMBER: _ClassVar[int]
    group: str
    fleiss_kappa: Estimate
    krippendorff_alpha: Estimate
    def __init__(self, group: _Optional[str] = ..., fleiss_kappa: _Optional[_Union[Estimate, _Mapping]] = ..., krippendorff_alpha: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class GoldResult(_message.Message):
    __slots__ = ("annotator", "accuracy")
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    annotator: str
    accuracy: Estimate
    def __init__(self, annotator: _Optional[str] = ..., accuracy: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class ScoreResult(_message.Message):
    __slots__ = ("system", "judge", "mean", "shares")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Estimate
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    system: str
    judge: str
    mean: Estimate
    shares: _containers.MessageMap[str, Estimate]
    def __init__(self, system: _Optional[str] = ..., judge: _Optional[str] = ..., mean: _Optional[_Union[Estimate, _Mapping]] = ..., shares: _Optional[_Mapping[str, Estimate]] = ...) -> None: ...

class AgreementResult(_message.Message):
    __slots__ = ("first", "second", "tie_discounted", "kappa")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    TIE_DISCOUNTED_FIELD_NUMBER: _ClassVar[int]
    KAPPA_FIELD_NUMBER: _ClassVar[int]
    first: str
    second: str
    tie_discounted: Estimate
    kappa: Estimate
    def __init__(self, first: _Optional[str] = ..., second: _Optional[str] = ..., tie_discounted: _Optional[_Union[Estimate, _Mapping]] = ..., kappa: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class Results(_message.Message):
    __slots__ = ("study", "pairs", "scores", "agreements", "warnings", "strengths", "reliabilities", "gold", "verdict_count", "newer_changes", "compute_time")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    AGREEMENTS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    STRENGTHS_FIELD_NUMBER: _ClassVar[int]
    RELIABILITIES_FIELD_NUMBER: _ClassVar[int]
    GOLD_FIELD_NUMBER: _ClassVar[int]
    VERDICT_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEWER_CHANGES_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_TIME_FIELD_NUMBER: _ClassVar[int]
    study: str
    pairs: _containers.RepeatedCompositeFieldContainer[PairResult]
    scores: _containers.RepeatedCompositeFieldContainer[ScoreResult]
    agreements: _containers.RepeatedCompositeFieldContainer[AgreementResult]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    strengths: _containers.RepeatedCompositeFieldContainer[StrengthResult]
    reliabilities: _containers.RepeatedCompositeFieldContainer[ReliabilityResult]
    gold: _containers.RepeatedCompositeFieldContainer[GoldResult]
    verdict_count: int
    newer_changes: int
    compute_time: _timestamp_pb2.Timestamp
    def __init__(self, study: _Optional[str] = ..., pairs: _Optional[_Iterable[_Union[PairResult, _Mapping]]] = ..., scores: _Optional[_Iterable[_Union[ScoreResult, _Mapping]]] = ..., agreements: _Optional[_Iterable[_Union[AgreementResult, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., strengths: _Optional[_Iterable[_Union[StrengthResult, _Mapping]]] = ..., reliabilities: _Optional[_Iterable[_Union[ReliabilityResult, _Mapping]]] = ..., gold: _Optional[_Iterable[_Union[GoldResult, _Mapping]]] = ..., verdict_count: _Optional[int] = ..., newer_changes: _Optional[int] = ..., compute_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ProposeSplitRequest(_message.Message):
    __slots__ = ("name", "dataset_uri", "threshold")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATASET_URI_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    name: str
    dataset_uri: str
    threshold: float
    def __init__(self, name: _Optional[str] = ..., dataset_uri: _Optional[str] = ..., threshold: _Optional[float] = ...) -> None: ...

class ConfirmSplitRequest(_message.Message):
    __slots__ = ("name", "dataset_uri", "threshold", "out_of_distribution")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATASET_URI_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_DISTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    dataset_uri: str
    threshold: float
    out_of_distribution: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., dataset_uri: _Optional[str] = ..., threshold: _Optional[float] = ..., out_of_distribution: _Optional[_Iterable[str]] = ...) -> None: ...

class Split(_message.Message):
    __slots__ = ("study", "dataset_uri", "threshold", "method", "prompts", "confirmed_by", "confirm_time")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    DATASET_URI_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_BY_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_TIME_FIELD_NUMBER: _ClassVar[int]
    study: str
    dataset_uri: str
    threshold: float
    method: str
    prompts: _containers.RepeatedCompositeFieldContainer[SplitPrompt]
    confirmed_by: str
    confirm_time: _timestamp_pb2.Timestamp
    def __init__(self, study: _Optional[str] = ..., dataset_uri: _Optional[str] = ..., threshold: _Optional[float] = ..., method: _Optional[str] = ..., prompts: _Optional[_Iterable[_Union[SplitPrompt, _Mapping]]] = ..., confirmed_by: _Optional[str] = ..., confirm_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SplitPrompt(_message.Message):
    __slots__ = ("prompt_id", "text", "nearest_example", "nearest_text", "similarity", "out_of_distribution")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NEAREST_EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    NEAREST_TEXT_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_DISTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    text: str
    nearest_example: str
    nearest_text: str
    similarity: float
    out_of_distribution: bool
    def __init__(self, prompt_id: _Optional[str] = ..., text: _Optional[str] = ..., nearest_example: _Optional[str] = ..., nearest_text: _Optional[str] = ..., similarity: _Optional[float] = ..., out_of_distribution: _Optional[bool] = ...) -> None: ...

class CreateReportRequest(_message.Message):
    __slots__ = ("name", "context_json")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    context_json: str
    def __init__(self, name: _Optional[str] = ..., context_json: _Optional[str] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("study", "html_uri", "json_uri")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    HTML_URI_FIELD_NUMBER: _ClassVar[int]
    JSON_URI_FIELD_NUMBER: _ClassVar[int]
    study: str
    html_uri: str
    json_uri: str
    def __init__(self, study: _Optional[str] = ..., html_uri: _Optional[str] = ..., json_uri: _Optional[str] = ...) -> None: ...

class AssignItemRequest(_message.Message):
    __slots__ = ("parent", "annotator")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    parent: str
    annotator: str
    def __init__(self, parent: _Optional[str] = ..., annotator: _Optional[str] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("name", "protocol", "prompt", "sides", "lease", "lease_seconds", "instructions", "choices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SIDES_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    protocol: _study_pb2.Protocol
    prompt: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    sides: _containers.RepeatedCompositeFieldContainer[Side]
    lease: str
    lease_seconds: int
    instructions: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., protocol: _Optional[_Union[_study_pb2.Protocol, str]] = ..., prompt: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., sides: _Optional[_Iterable[_Union[Side, _Mapping]]] = ..., lease: _Optional[str] = ..., lease_seconds: _Optional[int] = ..., instructions: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ...) -> None: ...

class Side(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    def __init__(self, messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ...) -> None: ...

class SubmitVerdictRequest(_message.Message):
    __slots__ = ("name", "lease", "annotator", "choice", "reasoning", "seconds")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    lease: str
    annotator: str
    choice: str
    reasoning: str
    seconds: float
    def __init__(self, name: _Optional[str] = ..., lease: _Optional[str] = ..., annotator: _Optional[str] = ..., choice: _Optional[str] = ..., reasoning: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class SubmitVerdictResponse(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: AnnotatorProgress
    def __init__(self, progress: _Optional[_Union[AnnotatorProgress, _Mapping]] = ...) -> None: ...

class SkipItemRequest(_message.Message):
    __slots__ = ("name", "lease", "annotator", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    lease: str
    annotator: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., lease: _Optional[str] = ..., annotator: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SkipItemResponse(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: AnnotatorProgress
    def __init__(self, progress: _Optional[_Union[AnnotatorProgress, _Mapping]] = ...) -> None: ...

class UndoVerdictRequest(_message.Message):
    __slots__ = ("parent", "annotator")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    parent: str
    annotator: str
    def __init__(self, parent: _Optional[str] = ..., annotator: _Optional[str] = ...) -> None: ...

class GetAnnotatorProgressRequest(_message.Message):
    __slots__ = ("parent", "annotator")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    parent: str
    annotator: str
    def __init__(self, parent: _Optional[str] = ..., annotator: _Optional[str] = ...) -> None: ...

class AnnotatorProgress(_message.Message):
    __slots__ = ("done", "remaining", "gold_accuracy", "median_seconds", "annotator", "skipped")
    DONE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    GOLD_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ANNOTATOR_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    done: int
    remaining: int
    gold_accuracy: float
    median_seconds: float
    annotator: str
    skipped: int
    def __init__(self, done: _Optional[int] = ..., remaining: _Optional[int] = ..., gold_accuracy: _Optional[float] = ..., median_seconds: _Optional[float] = ..., annotator: _Optional[str] = ..., skipped: _Optional[int] = ...) -> None: ...
