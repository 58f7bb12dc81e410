"""People who judge: leases, overlap, gold, undo, skip, and what they may not do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pytest

from lima.judging.v1 import judging_pb2, study_pb2
from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, LimaError, NotFound
from services.shared.rpc.status import to_error
from tests.service.judging.conftest import Judging, spec

PROMPTS = [f"p{number}" for number in range(6)]


async def told(call: object) -> LimaError:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        await call  # type: ignore[misc]
    return to_error(caught.value)


async def study_for_people(judging: Judging, name: str, **human: object) -> str:
    systems = {
        f"system-{quality}": judging.put_responses(quality, {prompt: f"{quality} on {prompt}" for prompt in PROMPTS})
        for quality in ("good", "bad")
    }
    wanted = spec(name, systems, judges=[], human=study_pb2.HumanSpec(**human))  # type: ignore[arg-type]
    study = await judging.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=wanted))
    return study.name


async def assign(judging: Judging, study: str, annotator: str) -> judging_pb2.Item:
    return await judging.annotation.AssignItem(judging_pb2.AssignItemRequest(parent=study, annotator=annotator))


def verdict(item: judging_pb2.Item, annotator: str, choice: str = "") -> judging_pb2.SubmitVerdictRequest:
    """The right verdict on an item: the good system's side."""
    side = "AB"["good on" not in item.sides[0].messages[0].content]
    return judging_pb2.SubmitVerdictRequest(
        name=item.name, lease=item.lease, annotator=annotator, choice=choice or side, seconds=3
    )


async def judged_items(judging: Judging, study: str, annotator: str) -> AsyncIterator[judging_pb2.Item]:
    """Judge everything there is for one annotator."""
    while True:
        try:
            item = await assign(judging, study, annotator)
        except grpc.RpcError as error:
            if not isinstance(to_error(error), NotFound):
                raise
            return
        await judging.annotation.SubmitVerdict(verdict(item, annotator))
        yield item


async def test_everything_is_judged_as_often_as_asked(judging: Judging) -> None:
    study = await study_for_people(judging, "overlap", overlap=2)
    people = ["ann", "bob", "cy"]

    async def work(annotator: str) -> list[str]:
        return [item.name async for item in judged_items(judging, study, annotator)]

    seen = await asyncio.gather(*map(work, people))
    assert all(len(set(items)) == len(items) for items in seen)
    assert sorted(Counter(item for items in seen for item in items).values()) == [2] * len(PROMPTS)

    results = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=study))
    (pair,) = results.pairs
    assert (pair.judge, pair.wins, pair.win.n) == ("crowd", 6, 6)
    (agreement,) = results.agreements
    assert (agreement.first, agreement.second, agreement.tie_discounted.value) == ("crowd", "crowd", 1)


async def test_sides_take_turns_and_names_do_not_travel(judging: Judging) -> None:
    study = await study_for_people(judging, "blind", overlap=2)
    for annotator in ("ann", "bob"):
        async for item in judged_items(judging, study, annotator):
            assert list(item.choices) == ["A", "B", "neither"]
            assert b"system-" not in item.SerializeToString()
    verdicts = (await judging.judging.ListVerdicts(judging_pb2.ListVerdictsRequest(parent=study))).verdicts
    sides: dict[str, set[bool]] = {}
    for each in verdicts:
        sides.setdefault(each.prompt_id, set()).add(each.first_on_a)
    assert all(both == {True, False} for both in sides.values())


async def test_a_closed_browser_loses_nothing(judging: Judging) -> None:
    study = await study_for_people(judging, "browser")
    first = await assign(judging, study, "ann")
    again = await assign(judging, study, "ann")
    assert (again.name, again.lease) == (first.name, first.lease)
    other = await assign(judging, study, "bob")
    assert other.name != first.name


async def test_a_submission_counts_once(judging: Judging) -> None:
    study = await study_for_people(judging, "once")
    item = await assign(judging, study, "ann")
    request = verdict(item, "ann", "A")
    await judging.annotation.SubmitVerdict(request)
    await judging.annotation.SubmitVerdict(request)
    changed = verdict(item, "ann", "B")
    assert isinstance(await told(judging.annotation.SubmitVerdict(changed)), Conflict)
    assert (await judging.judging.GetStudy(judging_pb2.GetStudyRequest(name=study))).verdict_count == 1


async def test_somebody_elses_lease_is_refused(judging: Judging) -> None:
    study = await study_for_people(judging, "lease")
    item = await assign(judging, study, "ann")
    assert isinstance(await told(judging.annotation.SubmitVerdict(verdict(item, "bob"))), Conflict)
    forged = verdict(item, "ann")
    forged.lease = "guess"
    assert isinstance(await told(judging.annotation.SubmitVerdict(forged)), Conflict)
    forged.lease = ""
    assert isinstance(await told(judging.annotation.SubmitVerdict(forged)), Conflict)


async def test_a_wrong_choice_names_the_right_ones(judging: Judging) -> None:
    study = await study_for_people(judging, "choice")
    item = await assign(judging, study, "ann")
    error = await told(judging.annotation.SubmitVerdict(verdict(item, "ann", "C")))
    assert isinstance(error, InvalidInput)
    assert "A, B, neither" in str(error)


async def test_a_skipped_item_goes_to_somebody_else(judging: Judging) -> None:
    study = await study_for_people(judging, "skip")
    item = await assign(judging, study, "ann")
    request = judging_pb2.SkipItemRequest(name=item.name, lease=item.lease, annotator="ann", reason="not my field")
    progress = (await judging.annotation.SkipItem(request)).progress
    assert (progress.done, progress.skipped, progress.remaining) == (0, 1, 5)
    assert item.name not in [each.name async for each in judged_items(judging, study, "ann")]
    assert (await assign(judging, study, "bob")).name == item.name
    results = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=study))
    assert dict(results.pairs[0].win.excluded) == {"skipped": 1}

    request.reason = " "
    assert isinstance(await told(judging.annotation.SkipItem(request)), InvalidInput)


async def test_undo_gives_the_item_back(judging: Judging) -> None:
    study = await study_for_people(judging, "undo", overlap=2)
    progress = judging_pb2.GetAnnotatorProgressRequest(parent=study, annotator="ann")
    assert (await judging.annotation.GetAnnotatorProgress(progress)).remaining == len(PROMPTS)
    undo = judging_pb2.UndoVerdictRequest(parent=study, annotator="ann")
    assert isinstance(await told(judging.annotation.UndoVerdict(undo)), FailedPrecondition)

    first = await assign(judging, study, "ann")
    await judging.annotation.SubmitVerdict(verdict(first, "ann", "neither"))
    second = await assign(judging, study, "ann")
    returned = await judging.annotation.UndoVerdict(undo)
    assert returned.name == first.name
    await judging.annotation.SubmitVerdict(verdict(returned, "ann"))
    verdicts = (await judging.judging.ListVerdicts(judging_pb2.ListVerdictsRequest(parent=study))).verdicts
    assert [each.choice for each in verdicts] == [study_pb2.CHOICE_WIN]
    # The place that was held meanwhile is free again.
    assert (await assign(judging, study, "bob")).name == first.name
    assert (await assign(judging, study, "ann")).name == second.name


async def test_gold_items_measure_annotators_and_do_not_count(judging: Judging) -> None:
    study = await study_for_people(judging, "gold", gold={"p0": "win", "p1": "lose"})
    async for _ in judged_items(judging, study, "ann"):
        pass
    results = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=study))
    assert results.pairs[0].win.n == 4
    (gold,) = results.gold
    assert (gold.annotator, gold.accuracy.value, gold.accuracy.n) == ("ann", 0.5, 2)
    assert any("ann answered 50% of 2 gold items" in warning for warning in results.warnings)
    progress = await judging.annotation.GetAnnotatorProgress(
        judging_pb2.GetAnnotatorProgressRequest(parent=study, annotator="ann")
    )
    assert (progress.done, progress.remaining, progress.gold_accuracy, progress.median_seconds) == (6, 0, 0.5, 3)


async def test_a_study_deleted_while_annotated(judging: Judging) -> None:
    study = await study_for_people(judging, "gone")
    item = await assign(judging, study, "ann")
    await judging.judging.DeleteStudy(judging_pb2.DeleteStudyRequest(name=study))
    error = await told(judging.annotation.SubmitVerdict(verdict(item, "ann")))
    assert isinstance(error, NotFound)
    assert "gone" in str(error)


async def test_groups_agree_across(judging: Judging) -> None:
    study = await study_for_people(judging, "groups", overlap=3, groups={"ann": "author"})
    for annotator in ("ann", "bob", "cy"):
        async for _ in judged_items(judging, study, annotator):
            pass
    results = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=study))
    assert {(each.first, each.second) for each in results.agreements} == {("author", "crowd"), ("crowd", "crowd")}
    assert {pair.judge for pair in results.pairs} == {"author", "crowd"}
