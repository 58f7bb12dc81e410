"""One study from its response sets to its report, over the real stubs, database and store."""

from __future__ import annotations

import json

import pytest

from lima.inference.v1 import model_pb2
from lima.judging.v1 import judging_pb2, study_pb2
from tests.service.judging.conftest import Judging, spec
from tests.service.judging.fake_inference import always_a

TEXTS = {f"p{number}": "word " * (number + 1) for number in range(12)}


def two_systems(judging: Judging) -> dict[str, str]:
    """`long` answers more words than `short` to every prompt."""
    short = judging.put_responses("short", dict.fromkeys(TEXTS, "word"))
    return {"long": judging.put_responses("long", {p: f"{text} more" for p, text in TEXTS.items()}), "short": short}


async def test_a_consistent_judge_from_responses_to_report(judging: Judging) -> None:
    study = await judging.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec("first", two_systems(judging))))
    assert (study.name, study.item_count, study.state) == ("studies/first", 12, study_pb2.Study.STATE_OPEN)

    results = await judging.run(study.name)
    (pair,) = results.pairs
    assert (pair.first, pair.second, pair.judge) == ("long", "short", "judge")
    assert (pair.win.value, pair.win.n, pair.wins) == (1.0, 12, 12)
    assert pair.flip_rate.value == 0
    assert len(judging.fake.asked) == 24

    operation = await judging.judging.CreateReport(judging_pb2.CreateReportRequest(name=study.name))
    report = judging_pb2.Report()
    (await judging.finished(operation)).response.Unpack(report)
    page = judging.store.get_bytes(judging.store.key(report.html_uri)).decode()
    document = json.loads(judging.store.get_bytes(judging.store.key(report.json_uri)))
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert document["pairs"][0]["summary"]["win"]["value"] == 1.0
    assert judging.store.get_manifest("studies/first") is not None


async def test_a_judge_that_looks_at_the_side_is_told_to_be_weak(judging: Judging) -> None:
    judging.fake.reply = always_a
    study = await judging.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec("weak", two_systems(judging))))
    results = await judging.run(study.name)
    (pair,) = results.pairs
    assert pair.flip_rate.value == 1.0
    assert pair.position_bias.value == 1.0
    assert (pair.wins, pair.ties, pair.losses) == (0, 12, 0)
    assert any("weak judge" in warning and "consistency 0%" in warning for warning in results.warnings)


@pytest.mark.parametrize("use_logprobs", [False, True])
async def test_a_second_run_asks_nothing(judging: Judging, use_logprobs: bool) -> None:
    judge = {"name": "judge", "model": "models/fake", "use_logprobs": use_logprobs}
    systems = two_systems(judging)
    study = await judging.judging.CreateStudy(
        judging_pb2.CreateStudyRequest(spec=spec("again", systems, judges=[judge]))
    )
    first = await judging.run(study.name)
    asked = len(judging.fake.asked)
    assert await judging.run(study.name) == first
    assert len(judging.fake.asked) == asked == 24

    # Another study over the same responses finds every answer in the cache.
    other = await judging.judging.CreateStudy(
        judging_pb2.CreateStudyRequest(spec=spec("other", systems, judges=[judge]))
    )
    await judging.run(other.name)
    assert len(judging.fake.asked) == asked
    ledger = (await judging.judging.GetStudy(judging_pb2.GetStudyRequest(name=other.name))).ledger
    assert (ledger.calls, ledger.cached_calls, ledger.cost_usd) == (24, 24, 0)


async def test_an_outside_model_is_given_a_schema_and_everything_that_decides_is_fixed(judging: Judging) -> None:
    judging.fake.kind = model_pb2.Model.KIND_UPSTREAM
    judging.fake.reply = lambda question, attempt: json.dumps({"reasoning": "Shorter.", "verdict": "neither"})
    wanted = spec("structured", two_systems(judging), seed=11)
    study = await judging.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=wanted))
    (pair,) = (await judging.run(study.name)).pairs
    assert (pair.ties, pair.tie.value) == (12, 1.0)
    assert len(judging.fake.chats) == 24
    for chat in judging.fake.chats:
        assert json.loads(chat.response_schema_json)["properties"]["verdict"]["enum"] == ["A", "B", "neither"]
        assert (chat.sampling.temperature, chat.sampling.seed, chat.sampling.top_p) == (0.0, 11, 1.0)
        assert chat.model == "models/fake/versions/v1"


async def test_likert_takes_five_verdicts_with_seeds_of_their_own(judging: Judging) -> None:
    judging.fake.reply = lambda question, attempt: "Some reasons.\nVerdict: 4"
    wanted = spec("five", two_systems(judging), protocol=study_pb2.PROTOCOL_LIKERT, seed=3)
    study = await judging.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=wanted))
    results = await judging.run(study.name)
    assert [(score.mean.value, score.mean.n) for score in results.scores] == [(4.0, 12), (4.0, 12)]
    assert len(judging.fake.chats) == 5 * 12 * 2
    assert {chat.sampling.seed for chat in judging.fake.chats} == {3, 4, 5, 6, 7}
    assert {round(chat.sampling.temperature, 3) for chat in judging.fake.chats} == {0.7}
