"""Results of large studies: given as last computed, and computed again behind the caller's back."""

from __future__ import annotations

import asyncio

import pytest

from lima.judging.v1 import judging_pb2
from services.judging import kept_results
from services.judging.kept_results import results_of, text_of
from services.judging.results import GoldResult, Results
from services.judging.statistics.estimate import Estimate, unknown
from tests.service.judging.conftest import PATIENCE_SECONDS, Judging
from tests.service.judging.test_annotation import assign, study_for_people, verdict


async def judge_one(judging: Judging, study: str) -> None:
    await judging.annotation.SubmitVerdict(verdict(await assign(judging, study, "ann"), "ann"))


async def results(judging: Judging, study: str, *, current: bool = False) -> judging_pb2.Results:
    return await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=study, current=current))


async def test_a_large_study_gives_the_last_results_at_once_and_says_what_they_cover(
    judging: Judging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_results, "COUNTED_AT_ONCE", 0)
    monkeypatch.setattr(kept_results, "_REST", 0.0)
    study = await study_for_people(judging, "large")
    await judge_one(judging, study)
    first = await results(judging, study)
    assert (first.verdict_count, first.newer_changes) == (0, 1)
    assert "being computed" in first.warnings[0]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await results(judging, study)
            if found.verdict_count:
                break
            await asyncio.sleep(0.02)
    assert (found.verdict_count, found.newer_changes, found.pairs[0].wins) == (1, 0, 1)

    await judge_one(judging, study)
    behind = await results(judging, study)
    assert (behind.verdict_count, behind.newer_changes) == (1, 1)
    whole = await results(judging, study, current=True)
    assert (whole.verdict_count, whole.newer_changes, whole.pairs[0].wins) == (2, 0, 2)
    assert whole.compute_time.ToSeconds() >= found.compute_time.ToSeconds() > 0


async def test_verdicts_taken_back_are_counted_as_changes(judging: Judging) -> None:
    study = await study_for_people(judging, "undone")
    await judge_one(judging, study)
    await judge_one(judging, study)
    assert (await results(judging, study)).pairs[0].wins == 2
    await judging.annotation.UndoVerdict(judging_pb2.UndoVerdictRequest(parent=study, annotator="ann"))
    after = await results(judging, study)
    assert (after.pairs[0].wins, after.verdict_count, after.newer_changes) == (1, 1, 0)


def test_results_survive_as_text() -> None:
    estimate = Estimate(0.5, float("-inf"), float("inf"), 3, "method", {"skipped": 2})
    kept = Results("s", gold=[GoldResult("ann", estimate)], warnings=["w"], kinds={"ann": "human"})
    assert results_of(text_of(kept)) == kept
    gone = results_of(text_of(Results("s", gold=[GoldResult("ann", unknown("m"))])))
    assert not gone.gold[0].accuracy.known
