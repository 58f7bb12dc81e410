"""Fills the services behind the console with something to look at, all through their own calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from lima.curation.v1 import curation_pb2, review_pb2, spec_pb2
from lima.inference.v1 import model_pb2
from lima.judging.v1 import judging_pb2, study_pb2
from services.shared.records import MetricsRow, Response, RunPhase, RunStatus, Turn
from tests.service.console.stack import Stack, finish

SAMPLES = Path(__file__).parents[3] / "experiments" / "sample_corpora"
# What a dump may hold: pages must show it and never run it.
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
ANSWER = (
    "A kettle boils water at 100 degrees.\n\n```python\ndef boil(water):\n    return water + 80\n```\n\n"
    "- Fill it.\n- **Wait.**\n\n" + HOSTILE
)
# Systems that annotators must never learn of.
HIDDEN_SYSTEMS = ("zorblax-65b", "quuxinator-4")
# Its answers are told apart as the first hidden system's are.
LATER_EPOCH = "epoch-06"
HIDDEN_STUDY = "zorblax-against-quuxinator"


def authored_corpus(stack: Stack, name: str, count: int, folder: Path, twins: int = 0) -> None:
    """`count` training prompts with answers, each on a subject of its own, and near-duplicates of the first ones."""
    lines = [
        {
            "id": f"{name}-{number}",
            "group": "A",
            "split": "train",
            "prompt": f"How do I boil {_word(number)} on a rainy {_word(number * 7 + 3)}?",
            "response": f"{_word(number * 5 + 1).capitalize()} first. {ANSWER} {_word(number * 11)}.",
        }
        for number in range(count)
    ]
    lines += [{**line, "id": f"{line['id']}-twin", "response": f"{line['response']} Enjoy."} for line in lines[:twins]]
    folder.mkdir(parents=True)
    (folder / "authored.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    stack.store.put_folder(f"uploads/{name}", folder, {})
    request = curation_pb2.ImportCorpusRequest(corpus_id=name, source_uri=stack.store.uri(f"uploads/{name}"))
    finish(stack.curation_operations, stack.curation.ImportCorpus(request), curation_pb2.Corpus())


def sample_corpus(stack: Stack, name: str) -> None:
    """A corpus of the repository's own samples."""
    stack.store.put_folder(f"uploads/{name}", SAMPLES / name, {})
    request = curation_pb2.ImportCorpusRequest(corpus_id=name, source_uri=stack.store.uri(f"uploads/{name}"))
    finish(stack.curation_operations, stack.curation.ImportCorpus(request), curation_pb2.Corpus())


def sample_queue(stack: Stack, name: str, source: Mapping[str, Any]) -> None:
    """A review queue over one source of a sample corpus."""
    value = {"name": name, "seed": 1, "sources": [{"quota": {"train": 4, "allow_fewer": True}, **source}]}
    request = review_pb2.FillQueueRequest(spec=ParseDict(value, spec_pb2.DatasetSpec()))
    finish(stack.curation_operations, stack.review.FillQueue(request), review_pb2.Queue())


def _word(number: int) -> str:
    """A made-up word that differs for each number, so that no two texts are near-duplicates."""
    syllables = ("ka", "lo", "mi", "ru", "te", "so", "va", "ni", "pe", "du")
    return "".join(syllables[int(digit)] for digit in f"{number * 7919 % 100000:05d}")


def authored_spec(name: str, corpus: str, train: int) -> spec_pb2.DatasetSpec:
    source = {"name": "written", "corpus": corpus, "authored": {"group": "A"}, "quota": {"train": train}}
    value: dict[str, Any] = {"name": name, "seed": 1, "sources": [source], "dedup": {"enabled": False}}
    return ParseDict(value, spec_pb2.DatasetSpec())


def fill_queue(stack: Stack, name: str, corpus: str, wanted: int) -> None:
    request = review_pb2.FillQueueRequest(spec=authored_spec(name, corpus, wanted))
    finish(stack.curation_operations, stack.review.FillQueue(request), review_pb2.Queue())


def build_dataset(stack: Stack, name: str, corpus: str, train: int) -> curation_pb2.Dataset:
    request = curation_pb2.BuildDatasetRequest(spec=authored_spec(name, corpus, train))
    built: curation_pb2.Dataset = finish(
        stack.curation_operations, stack.curation.BuildDataset(request), curation_pb2.Dataset()
    )
    return built


def response_set(stack: Stack, key: str, system: str, prompts: int, turns: int = 1) -> str:
    """Answers that do not tell which system wrote them."""
    lines = []
    for number in range(prompts):
        said = [Turn(role="user", content=f"How do I boil {_word(number)}?")]
        for turn in range(1, turns):
            said += [Turn(role="assistant", content=f"Reply {turn}."), Turn(role="user", content=f"And then {turn}?")]
        text = f"Answer of {'many' if system in (HIDDEN_SYSTEMS[0], LATER_EPOCH) else 'few'} words. {ANSWER}" * 3
        lines.append(
            Response(
                prompt_id=f"p{number}",
                source="written",
                messages=tuple(said),
                response=text,
                model=system,
                finish_reason="stop",
                prompt_tokens=1,
                completion_tokens=1,
            )
        )
    name = f"responses/{key}.jsonl"
    stack.store.put_bytes(name, "".join(line.model_dump_json() + "\n" for line in lines).encode())
    return stack.store.uri(name)


def study(
    stack: Stack,
    name: str,
    protocol: study_pb2.Protocol,
    prompts: int,
    systems: Sequence[str] = HIDDEN_SYSTEMS,
    turns: int = 1,
    selection: study_pb2.Selection | None = None,
) -> study_pb2.Study:
    """A study for people over answers of the hidden systems, or of other ones."""
    listed = [
        study_pb2.System(name=system, responses_uri=response_set(stack, f"{name}-{system}", system, prompts, turns))
        for system in systems
    ]
    spec = study_pb2.StudySpec(
        name=name,
        protocol=protocol,
        systems=listed,
        seed=7,
        human=study_pb2.HumanSpec(overlap=1, lease_seconds=600),
        selection=selection,
    )
    created: study_pb2.Study = stack.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec))
    return created


def run_records(stack: Stack, run: str, phase: RunPhase, steps: int = 40) -> None:
    """A run as a training job leaves it in the store."""
    start = datetime(2026, 11, 22, 9, tzinfo=UTC)
    status = RunStatus(
        run=run,
        phase=phase,
        step=steps,
        total_steps=steps * 2,
        epoch=3,
        total_epochs=6,
        loss=1.5,
        tokens_per_second=140.0,
        eta_seconds=600,
        selected_checkpoint="epoch-02" if phase is RunPhase.SUCCEEDED else "",
        updated=start + timedelta(seconds=steps),
    )
    stack.store.put_bytes(f"runs/{run}/status.json", status.model_dump_json().encode())
    rows = [
        MetricsRow(
            kind="step",
            step=step,
            epoch=step / 20,
            loss=2.5 * 0.99**step,
            learning_rate=1e-5 * (1 - step / 100),
            gradient_norm=1 + step % 5 / 10,
            tokens_per_second=140 + step % 7,
            time=start + timedelta(seconds=step),
        )
        for step in range(steps)
    ]
    rows += [
        MetricsRow(kind="evaluation", step=20 * epoch, epoch=epoch, loss=2.0, perplexity=8 + epoch / 3, time=start)
        for epoch in (1, 2, 3)
    ]
    lines = "".join(row.model_dump_json() + "\n" for row in rows)
    stack.store.put_bytes(f"runs/{run}/metrics.jsonl", lines.encode())
    stack.store.put_bytes(f"runs/{run}/run.json", b'{"recipe": {"epochs": 6}}')
    for epoch in (1, 2):
        stack.store.put_bytes(f"runs/{run}/checkpoints/epoch-0{epoch}/manifest.json", b"{}")


def outside_model(stack: Stack, name: str) -> None:
    """A model that the fake outside endpoint answers for, through the real inference service."""
    upstream = model_pb2.UpstreamSource(base_url=f"{stack.outside_url}/v1", model="fake")
    request = model_pb2.RegisterModelRequest(model_id=name, upstream=upstream)
    model = finish(stack.inference_operations, stack.models.RegisterModel(request), model_pb2.Model())
    if model.state != model_pb2.Model.STATE_READY:
        load = model_pb2.LoadModelRequest(name=model.name)
        finish(stack.inference_operations, stack.models.LoadModel(load), model_pb2.Model())
