import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from lima.common.v1 import message_pb2 as _message_pb2
from lima.curation.v1 import spec_pb2 as _spec_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Corpus(_message.Message):
    __slots__ = ("name", "digest", "uri", "file_count", "size_bytes", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    uri: str
    file_count: int
    size_bytes: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., uri: _Optional[str] = ..., file_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ImportCorpusRequest(_message.Message):
    __slots__ = ("corpus_id", "source_uri", "request_id")
    CORPUS_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    corpus_id: str
    source_uri: str
    request_id: str
    def __init__(self, corpus_id: _Optional[str] = ..., source_uri: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetCorpusRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListCorporaRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCorporaResponse(_message.Message):
    __slots__ = ("corpora", "next_page_token")
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    corpora: _containers.RepeatedCompositeFieldContainer[Corpus]
    next_page_token: str
    def __init__(self, corpora: _Optional[_Iterable[_Union[Corpus, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("name", "digest", "uri", "split_counts", "source_counts", "create_time", "spec", "statistics", "diversity", "diversity_metric")
    class SplitCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class SourceCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    SPLIT_COUNTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_METRIC_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    uri: str
    split_counts: _containers.ScalarMap[str, int]
    source_counts: _containers.ScalarMap[str, int]
    create_time: _timestamp_pb2.Timestamp
    spec: _spec_pb2.DatasetSpec
    statistics: _containers.RepeatedCompositeFieldContainer[SourceStatistics]
    diversity: float
    diversity_metric: str
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., uri: _Optional[str] = ..., split_counts: _Optional[_Mapping[str, int]] = ..., source_counts: _Optional[_Mapping[str, int]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., spec: _Optional[_Union[_spec_pb2.DatasetSpec, _Mapping]] = ..., statistics: _Optional[_Iterable[_Union[SourceStatistics, _Mapping]]] = ..., diversity: _Optional[float] = ..., diversity_metric: _Optional[str] = ...) -> None: ...

class SourceStatistics(_message.Message):
    __slots__ = ("source", "split", "examples", "mean_prompt_tokens", "mean_response_tokens")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    MEAN_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MEAN_RESPONSE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    source: str
    split: str
    examples: int
    mean_prompt_tokens: float
    mean_response_tokens: float
    def __init__(self, source: _Optional[str] = ..., split: _Optional[str] = ..., examples: _Optional[int] = ..., mean_prompt_tokens: _Optional[float] = ..., mean_response_tokens: _Optional[float] = ...) -> None: ...

class BuildDatasetRequest(_message.Message):
    __slots__ = ("spec", "request_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec: _spec_pb2.DatasetSpec
    request_id: str
    def __init__(self, spec: _Optional[_Union[_spec_pb2.DatasetSpec, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ResolveDatasetRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: _spec_pb2.DatasetSpec
    def __init__(self, spec: _Optional[_Union[_spec_pb2.DatasetSpec, _Mapping]] = ...) -> None: ...

class ResolveDatasetResponse(_message.Message):
    __slots__ = ("name", "exists", "spec")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    name: str
    exists: bool
    spec: _spec_pb2.DatasetSpec
    def __init__(self, name: _Optional[str] = ..., exists: _Optional[bool] = ..., spec: _Optional[_Union[_spec_pb2.DatasetSpec, _Mapping]] = ...) -> None: ...

class GetDatasetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListDatasetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets", "next_page_token")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    next_page_token: str
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListExamplesRequest(_message.Message):
    __slots__ = ("parent", "split", "source", "query", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    split: str
    source: str
    query: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., split: _Optional[str] = ..., source: _Optional[str] = ..., query: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExamplesResponse(_message.Message):
    __slots__ = ("examples", "next_page_token")
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    examples: _containers.RepeatedCompositeFieldContainer[_message_pb2.Example]
    next_page_token: str
    def __init__(self, examples: _Optional[_Iterable[_Union[_message_pb2.Example, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StreamExamplesRequest(_message.Message):
    __slots__ = ("parent", "split")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    split: str
    def __init__(self, parent: _Optional[str] = ..., split: _Optional[str] = ...) -> None: ...

class StreamExamplesResponse(_message.Message):
    __slots__ = ("example",)
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    example: _message_pb2.Example
    def __init__(self, example: _Optional[_Union[_message_pb2.Example, _Mapping]] = ...) -> None: ...

class GetFunnelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Funnel(_message.Message):
    __slots__ = ("sources",)
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[FunnelSource]
    def __init__(self, sources: _Optional[_Iterable[_Union[FunnelSource, _Mapping]]] = ...) -> None: ...

class FunnelSource(_message.Message):
    __slots__ = ("source", "steps")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    source: str
    steps: _containers.RepeatedCompositeFieldContainer[FunnelStep]
    def __init__(self, source: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[FunnelStep, _Mapping]]] = ...) -> None: ...

class FunnelStep(_message.Message):
    __slots__ = ("filter", "entered", "removed", "samples")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ENTERED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    filter: str
    entered: int
    removed: int
    samples: _containers.RepeatedCompositeFieldContainer[FunnelSample]
    def __init__(self, filter: _Optional[str] = ..., entered: _Optional[int] = ..., removed: _Optional[int] = ..., samples: _Optional[_Iterable[_Union[FunnelSample, _Mapping]]] = ...) -> None: ...

class FunnelSample(_message.Message):
    __slots__ = ("candidate_id", "excerpt", "reason")
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    EXCERPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    candidate_id: str
    excerpt: str
    reason: str
    def __init__(self, candidate_id: _Optional[str] = ..., excerpt: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetLineageRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Lineage(_message.Message):
    __slots__ = ("example", "corpus", "corpus_digest", "file", "offset", "row_id", "steps")
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    CORPUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ROW_ID_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    example: _message_pb2.Example
    corpus: str
    corpus_digest: str
    file: str
    offset: int
    row_id: str
    steps: _containers.RepeatedCompositeFieldContainer[LineageStep]
    def __init__(self, example: _Optional[_Union[_message_pb2.Example, _Mapping]] = ..., corpus: _Optional[str] = ..., corpus_digest: _Optional[str] = ..., file: _Optional[str] = ..., offset: _Optional[int] = ..., row_id: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[LineageStep, _Mapping]]] = ...) -> None: ...

class LineageStep(_message.Message):
    __slots__ = ("step", "detail")
    STEP_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    step: str
    detail: str
    def __init__(self, step: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ExportDatasetRequest(_message.Message):
    __slots__ = ("name", "format", "destination_uri")
    class Format(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FORMAT_UNSPECIFIED: _ClassVar[ExportDatasetRequest.Format]
        FORMAT_JSONL: _ClassVar[ExportDatasetRequest.Format]
        FORMAT_PARQUET: _ClassVar[ExportDatasetRequest.Format]
        FORMAT_HF_DATASETS: _ClassVar[ExportDatasetRequest.Format]
    FORMAT_UNSPECIFIED: ExportDatasetRequest.Format
    FORMAT_JSONL: ExportDatasetRequest.Format
    FORMAT_PARQUET: ExportDatasetRequest.Format
    FORMAT_HF_DATASETS: ExportDatasetRequest.Format
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_URI_FIELD_NUMBER: _ClassVar[int]
    name: str
    format: ExportDatasetRequest.Format
    destination_uri: str
    def __init__(self, name: _Optional[str] = ..., format: _Optional[_Union[ExportDatasetRequest.Format, str]] = ..., destination_uri: _Optional[str] = ...) -> None: ...

class ExportDatasetResult(_message.Message):
    __slots__ = ("uri", "file_count")
    URI_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    uri: str
    file_count: int
    def __init__(self, uri: _Optional[str] = ..., file_count: _Optional[int] = ...) -> None: ...
