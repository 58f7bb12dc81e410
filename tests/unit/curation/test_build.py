"""Corpora to dataset files without a server: the same bytes whatever the workers, quotas, splits, contamination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from services.curation import pool
from services.curation.build import Accepted, Builder, LocalCorpus, dataset_digest
from services.curation.datasets import write_dataset
from services.curation.pool import LocalWorkers
from services.curation.selection import HELD_OUT, QuotaNotFilled
from services.curation.sources.source import CorpusFile
from services.curation.spec import parse_spec
from services.curation.vendi import HashedWords
from services.shared.digest import digest_file
from services.shared.errors import InvalidInputs
from services.shared.records import Turn
from tests.unit.curation.builders import corpus_file, json_lines

SAMPLES = Path(__file__).parents[3] / "experiments" / "sample_corpora"


def local(name: str, folder: Path) -> LocalCorpus:
    files = [
        CorpusFile(path.relative_to(folder).as_posix(), path, digest_file(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return LocalCorpus(name, "d" * 64, tuple(files))


def spec_value(*sources: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "test", "seed": 1, "sources": list(sources)} | more


def source(name: str, kind: str, corpus: str, quota: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"name": name, "corpus": corpus, "quota": quota, kind: settings}


SAMPLE_SPEC = parse_spec(
    spec_value(
        source("stem", "stack_exchange", "stackexchange", {"train": 4}, group="stem"),
        source("other", "stack_exchange", "stackexchange", {"train": 4, "dev": 1}, group="other"),
        source("group-a", "authored", "authored", {"train": 9, "dev": 3}, group="A"),
        source("group-b", "authored", "authored", {"test": 5}, group="B"),
    )
)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_one_and_four_workers_write_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PARALLEL_BYTES", 0)
    corpora = {name: local(name, SAMPLES / name) for name in ("stackexchange", "authored")}
    written = []
    for count in (1, 4):
        folder = tmp_path / f"out{count}"
        folder.mkdir()
        built = Builder(tmp_path / f"cache{count}", LocalWorkers(count)).build(SAMPLE_SPEC, corpora)
        write_dataset(folder, SAMPLE_SPEC, "a" * 64, {}, {}, built, HashedWords())
        written.append(files_of(folder))
    assert written[0] == written[1]
    assert {"train.jsonl", "figures/sources.svg"} <= set(written[0])
    assert "CC-BY-SA" in written[0]["README.md"].decode()


def test_the_digest_is_of_spec_corpora_code_and_reviews_but_not_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    corpora = {"stackexchange": "1", "authored": "2"}
    first = dataset_digest(SAMPLE_SPEC, corpora, "")
    assert dataset_digest(SAMPLE_SPEC.model_copy(update={"name": "other"}), corpora, "") == first
    others = [
        dataset_digest(SAMPLE_SPEC.model_copy(update={"seed": 2}), corpora, ""),
        dataset_digest(SAMPLE_SPEC, corpora | {"authored": "3"}, ""),
        dataset_digest(SAMPLE_SPEC, corpora, "decided"),
    ]
    assert len({first, *others}) == 4


def authored(tmp_path: Path, *records: dict[str, Any]) -> dict[str, LocalCorpus]:
    return {"written": LocalCorpus("written", "d" * 64, (corpus_file(tmp_path, "w.jsonl", json_lines(records)),))}


def record(name: str, prompt: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "prompt": prompt, "response": f"An answer to {name}, with words of its own: {name * 7}."} | more


def test_train_keeps_clear_of_the_prompts_of_dev_and_test(tmp_path: Path) -> None:
    records = [record(f"r{n}", f"Question number {n}, asked once?") for n in range(12)]
    records.append(record("held", "What is asked twice?", split="test"))
    records.append(record("leak", "What is ASKED twice", split="train"))
    spec = parse_spec(spec_value(source("w", "authored", "written", {"train": 8, "dev": 2, "test": 1})))
    built = Builder(tmp_path / "cache").build(spec, authored(tmp_path, *records))
    assert [len(built.examples[split]) for split in ("train", "dev", "test")] == [8, 2, 1]
    assert "w.leak" not in [example.id for example in built.examples["train"]]
    assert {step.filter: step.removed for step in built.funnels["w"].steps}[HELD_OUT] == 1
    prompts = [example.prompt()[-1].content for split in built.examples.values() for example in split]
    assert len(set(prompts)) == len(prompts)


def test_benchmark_prompts_stay_out(tmp_path: Path) -> None:
    corpora = authored(
        tmp_path, record("a", "Tell me a riddle about rain."), record("b", "Tell me a story about snow.")
    )
    bench = corpus_file(tmp_path, "bench.jsonl", orjson.dumps({"prompt": "tell me a RIDDLE about rain"}))
    corpora["bench"] = LocalCorpus("bench", "e" * 64, (bench,))
    spec = parse_spec(
        spec_value(
            source("w", "authored", "written", {"train": 2, "allow_fewer": True}),
            decontamination={"benchmark_corpora": ["bench"]},
        )
    )
    built = Builder(tmp_path / "cache").build(spec, corpora)
    assert [example.id for example in built.examples["train"]] == ["w.b"]


def test_near_duplicates_across_sources_and_personal_data(tmp_path: Path) -> None:
    text = " ".join(f"word{n}" for n in range(60))
    records = [
        {"id": "a", "prompt": "First?", "response": text},
        {"id": "b", "prompt": "First?", "response": f"{text} more"},
        {"id": "c", "prompt": "Mail?", "response": "Write to ann.lee@mail.org about it."},
    ]
    value = spec_value(
        source("one", "authored", "written", {"train": 3, "allow_fewer": True}),
        source("two", "authored", "written", {"train": 3, "allow_fewer": True}),
        pii={"enabled": True},
    )
    built = Builder(tmp_path / "cache").build(parse_spec(value), authored(tmp_path, *records))
    assert len(built.examples["train"]) == 1
    assert all("mail.org" not in str(example.messages) for example in built.examples["train"])
    value["pii"] = {"enabled": True, "action": "mask"}
    built = Builder(tmp_path / "cache").build(parse_spec(value), authored(tmp_path, *records))
    [masked] = [example for example in built.examples["train"] if example.id.endswith(".c")]
    assert masked.messages[-1].content == "Write to [email] about it."
    assert "masked email" in masked.provenance["steps"]


def test_only_what_people_accepted_with_their_edits(tmp_path: Path) -> None:
    corpora = authored(tmp_path, *(record(f"r{n}", f"Question {n} of the set?") for n in range(6)))
    value = spec_value(source("w", "authored", "written", {"train": 2}), review={"required": True})
    edited = (Turn(role="user", content="Edited?"), Turn(role="assistant", content="Yes, edited."))
    reviews = {
        "w": {"r1": Accepted(None, "accepted by 1 reviewer"), "r4": Accepted(edited, "accepted by 1 reviewer, edited")}
    }
    built = Builder(tmp_path / "cache").build(parse_spec(value), corpora, reviews)
    by_id = {example.id: example for example in built.examples["train"]}
    assert set(by_id) == {"w.r1", "w.r4"}
    assert by_id["w.r4"].messages == edited
    assert by_id["w.r4"].provenance["steps"][-1] == "accepted by 1 reviewer, edited"
    with pytest.raises(QuotaNotFilled, match="accepted by reviewers"):
        Builder(tmp_path / "cache").build(parse_spec(value), corpora, {})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": -1}, "spec.seed"),
        ({"unknown": 1}, "spec.unknown"),
        ({"name": "../x"}, "spec.name"),
        ({"max_malformed": "many"}, "spec.max_malformed"),
        ({"dedup": {"permutations": 100}}, "spec.dedup.permutations"),
        ({"sources": [source("a", "reddit", "c", {"train": 1}, subreddit="funny")]}, "spec.sources.0.reddit.subreddit"),
        (
            {"sources": [source("a", "stack_exchange", "c", {"train": 1}, temperature=0)]},
            "spec.sources.0.stack_exchange.temperature",
        ),
        (
            {"sources": [source("a", "stack_exchange", "c", {"train": 1}, first_person=["..."])]},
            "spec.sources.0.stack_exchange.first_person",
        ),
    ],
)
def test_a_wrong_spec_names_its_field(change: dict[str, Any], field: str) -> None:
    value = spec_value(source("a", "authored", "c", {"train": 1})) | change
    with pytest.raises(InvalidInputs) as caught:
        parse_spec(value)
    assert field in [violation.field for violation in caught.value.violations]
