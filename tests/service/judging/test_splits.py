"""Prompts far from the training set: proposed by similarity, confirmed by a person, and what the report says."""

from __future__ import annotations

import json

import grpc
import pytest

from lima.judging.v1 import judging_pb2, study_pb2
from services.shared.errors import InvalidInput
from services.shared.records import Example, Turn
from services.shared.rpc.status import to_error
from services.shared.sentence_model import find_sentence_model
from tests.service.judging.conftest import Judging, spec

TRAINED = {
    "bread": "How do I bake bread? Mix flour, water, salt and yeast, and let the dough rise overnight.",
    "knots": "Which knot holds a boat? A bowline holds, and opens again when you want it to.",
}


def put_dataset(judging: Judging) -> str:
    examples = [
        Example(id=name, source="authored", split="train", messages=(
            Turn(role="user", content=text.split("?")[0] + "?"),
            Turn(role="assistant", content=text.split("? ")[1]),
        ))
        for name, text in TRAINED.items()
    ]  # fmt: skip
    lines = "".join(example.model_dump_json() + "\n" for example in examples)
    judging.store.put_bytes("datasets/small/01/train.jsonl", lines.encode())
    manifest = {"split_counts": {"train": len(examples)}}
    judging.store.put_bytes("datasets/small/01/manifest.json", json.dumps(manifest).encode())
    return judging.store.uri("datasets/small/01")


async def made(judging: Judging, name: str) -> str:
    systems = {
        system: judging.put_responses(system, {"bake bread at home": text, "quantum chromodynamics": text})
        for system, text in (("long", "flour, water, salt and yeast"), ("short", "no"))
    }
    request = judging_pb2.CreateStudyRequest(spec=spec(name, systems))
    return (await judging.judging.CreateStudy(request)).name


async def test_a_person_confirms_what_similarity_proposes(judging: Judging) -> None:
    dataset, study = put_dataset(judging), await made(judging, "split")
    await judging.run(study)
    request = judging_pb2.ProposeSplitRequest(name=study, dataset_uri=dataset, threshold=0.3)
    proposed = await judging.judging.ProposeSplit(request)
    assert [each.prompt_id for each in proposed.prompts] == ["quantum chromodynamics", "bake bread at home"]
    assert [each.out_of_distribution for each in proposed.prompts] == [True, False]
    assert proposed.prompts[1].nearest_example == "bread"
    assert (proposed.threshold, proposed.confirmed_by) == (0.3, "")
    assert ("TF-IDF" if find_sentence_model() is None else "sentence embeddings") in proposed.method

    kept = judging_pb2.ConfirmSplitRequest(name=study, dataset_uri=dataset, threshold=0.3)
    kept.out_of_distribution.append("quantum chromodynamics")
    confirmed = await judging.judging.ConfirmSplit(kept)
    assert confirmed.confirmed_by
    context = json.dumps({"systems": {"long": {"dataset": dataset}}})
    operation = await judging.judging.CreateReport(judging_pb2.CreateReportRequest(name=study, context_json=context))
    report = judging_pb2.Report()
    (await judging.finished(operation)).response.Unpack(report)
    document = json.loads(judging.store.get_bytes(judging.store.key(report.json_uri)))
    assert {(each["source"], each["summary"]["win"]["n"]) for each in document["pairs_by_source"]} == {
        ("in distribution", 1),
        ("out of distribution", 1),
    }
    [told] = [sentence for sentence in document["methods"] if "1 prompts to be out of distribution" in sentence]
    assert told.endswith(f"({proposed.method}).")
    answers = {(each["prompt_id"], a["system"]): a["nearest"] for each in document["readings"] for a in each["answers"]}
    assert answers["bake bread at home", "long"][0]["example"] == "bread"
    assert answers["bake bread at home", "short"] == []
    page = judging.store.get_bytes(judging.store.key(report.html_uri)).decode()
    assert "Nearest training examples" in page


async def test_what_a_split_refuses(judging: Judging) -> None:
    dataset, study = put_dataset(judging), await made(judging, "refused")
    judging.store.put_bytes("datasets/bad/01/train.jsonl", b"<html>\n")
    for wrong, field in (
        ({"dataset_uri": judging.store.uri("datasets/none/01")}, "dataset_uri"),
        ({"dataset_uri": judging.store.uri("datasets/bad/01")}, "line 1"),
        ({"dataset_uri": dataset, "threshold": 2.0}, "threshold"),
        ({"dataset_uri": dataset, "out_of_distribution": ["nobody"]}, "nobody"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            await judging.judging.ConfirmSplit(judging_pb2.ConfirmSplitRequest(name=study, **wrong))  # type: ignore[arg-type]
        error = to_error(caught.value)
        assert isinstance(error, InvalidInput)
        assert field in str(error)
    assert (await judging.judging.GetStudy(judging_pb2.GetStudyRequest(name=study))).state == study_pb2.Study.STATE_OPEN
