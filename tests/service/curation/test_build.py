"""Corpora to dataset over gRPC, with a real server and a real object store."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from lima.curation.v1.curation_pb2 import (
    BuildDatasetRequest,
    Dataset,
    ExportDatasetRequest,
    ExportDatasetResult,
    GetDatasetRequest,
    GetFunnelRequest,
    GetLineageRequest,
    ListDatasetsRequest,
    ListExamplesRequest,
    ResolveDatasetRequest,
    StreamExamplesRequest,
)
from lima.curation.v1.spec_pb2 import DatasetSpec
from services.curation.selection import QuotaNotFilled
from services.shared.errors import FailedPrecondition, InvalidInput, LimaError, NotFound
from services.shared.records import Example
from services.shared.rpc.status import to_error
from tests.service.curation.conftest import SAMPLES, Client

SPEC: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "sources": [
        {"name": "stem", "corpus": "stackexchange", "stack_exchange": {"group": "stem"}, "quota": {"train": 4}},
        {"name": "group-a", "corpus": "authored", "authored": {"group": "A"}, "quota": {"train": 6, "dev": 2}},
        {"name": "group-b", "corpus": "authored", "authored": {"group": "B"}, "quota": {"test": 3}},
    ],
}


def spec_of(value: dict[str, Any]) -> DatasetSpec:
    return ParseDict(value, DatasetSpec())


async def build(client: Client, spec: dict[str, Any]) -> Dataset:
    return await client.finish(await client.curation.BuildDataset(BuildDatasetRequest(spec=spec_of(spec))), Dataset())


@pytest.fixture
async def corpora(client: Client) -> Client:
    await client.import_folder("stackexchange", SAMPLES / "stackexchange")
    await client.import_folder("authored", SAMPLES / "authored")
    return client


async def refusal(call: Any) -> LimaError:
    import grpc

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return to_error(caught.value)


async def test_a_dataset_is_built_listed_streamed_explained_and_exported(corpora: Client) -> None:
    dataset = await build(corpora, SPEC)

    assert dict(dataset.split_counts) == {"train": 10, "dev": 2, "test": 3}
    assert dict(dataset.source_counts) == {"stem/train": 4, "group-a/train": 6, "group-a/dev": 2, "group-b/test": 3}
    assert dataset.spec.sources[0].stack_exchange.min_answer_score == 10
    prefix = corpora.store.key(dataset.uri)
    manifest = corpora.store.get_manifest(prefix)
    assert manifest is not None
    assert {entry["path"] for entry in manifest["files"]} >= {"train.jsonl", "dev.jsonl", "test.jsonl", "README.md"}
    lines = corpora.store.get_bytes(f"{prefix}/train.jsonl").splitlines()
    assert {Example.model_validate_json(line).split for line in lines} == {"train"}

    listed = await corpora.curation.ListDatasets(ListDatasetsRequest())
    assert [item.name for item in listed.datasets] == [dataset.name]
    latest = await corpora.curation.GetDataset(GetDatasetRequest(name="datasets/small/latest"))
    assert latest.digest == dataset.digest

    first = await corpora.curation.ListExamples(ListExamplesRequest(parent=dataset.name, source="stem", page_size=3))
    rest = await corpora.curation.ListExamples(
        ListExamplesRequest(parent=dataset.name, source="stem", page_size=3, page_token=first.next_page_token)
    )
    assert len(first.examples) == 3
    assert len(rest.examples) == 1
    streamed = [
        item.example async for item in corpora.curation.StreamExamples(StreamExamplesRequest(parent=dataset.name))
    ]
    assert len(streamed) == 15

    example = first.examples[0]
    lineage = await corpora.curation.GetLineage(GetLineageRequest(name=f"{dataset.name}/examples/{example.id}"))
    assert lineage.file.endswith("Posts.xml")
    row = (SAMPLES / "stackexchange" / lineage.file).read_bytes()[lineage.offset :]
    assert row.startswith(f'<row Id="{lineage.row_id}"'.encode())

    funnel = await corpora.curation.GetFunnel(GetFunnelRequest(name=dataset.name))
    stem = next(source for source in funnel.sources if source.source == "stem")
    assert [step.filter for step in stem.steps][:2] == ["top answer score", "first person"]
    assert all(
        later.entered == earlier.entered - earlier.removed
        for earlier, later in zip(stem.steps, stem.steps[1:], strict=False)
    )

    request = ExportDatasetRequest(
        name=dataset.name, format="FORMAT_HF_DATASETS", destination_uri=corpora.store.uri("exports/small")
    )
    exported = await corpora.finish(await corpora.curation.ExportDataset(request), ExportDatasetResult())
    assert exported.file_count == 4


async def test_the_same_spec_makes_nothing_twice_and_is_told_before_it_is_built(corpora: Client) -> None:
    ahead = await corpora.curation.ResolveDataset(ResolveDatasetRequest(spec=spec_of(SPEC)))
    assert not ahead.exists
    first = await build(corpora, SPEC)
    again = await build(corpora, SPEC)
    assert first.name == ahead.name == again.name
    assert first.create_time == again.create_time
    assert (await corpora.curation.ResolveDataset(ResolveDatasetRequest(spec=spec_of(SPEC)))).exists
    other = await build(corpora, SPEC | {"seed": 4})
    assert other.digest != first.digest


async def test_a_quota_that_cannot_be_filled_says_which_filter_ate_the_candidates(corpora: Client) -> None:
    source = SPEC["sources"][0] | {"quota": {"train": 500}}
    with pytest.raises(FailedPrecondition, match=r"stem: train wants 500 .*'answer length' removed") as caught:
        await build(corpora, SPEC | {"sources": [source]})
    assert "allow_fewer" in caught.value.remedy
    assert issubclass(QuotaNotFilled, FailedPrecondition)
    assert not list(corpora.store.list("datasets/"))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Not A Name"}, "spec.name"),
        ({"sources": []}, "spec.sources"),
        ({"sources": [{"name": "x", "corpus": "c", "quota": {"train": 1}}]}, "spec.sources.0"),
        ({"sources": [SPEC["sources"][0] | {"quota": {}}]}, "spec.sources.0"),
        ({"sources": [SPEC["sources"][0]] * 2}, "spec"),
        (
            {"sources": [SPEC["sources"][0] | {"stack_exchange": {"group": "all"}}]},
            "spec.sources.0.stack_exchange.group",
        ),
        (
            {"sources": [SPEC["sources"][0] | {"stack_exchange": {"min_characters": 9, "max_characters": 5}}]},
            "spec.sources.0.stack_exchange",
        ),
        ({"dedup": {"threshold": 3.0}}, "spec.dedup.threshold"),
    ],
)
async def test_a_bad_spec_names_the_field(client: Client, change: dict[str, Any], field: str) -> None:
    request = ResolveDatasetRequest(spec=spec_of(SPEC | change))
    error = await refusal(client.curation.ResolveDataset(request))
    assert isinstance(error, InvalidInput)
    assert field in [violation.field for violation in error.violations]


async def test_a_corpus_that_was_not_imported_is_told_at_once(client: Client) -> None:
    error = await refusal(client.curation.BuildDataset(BuildDatasetRequest(spec=spec_of(SPEC))))
    assert isinstance(error, NotFound)
    assert "lima import" in error.remedy
