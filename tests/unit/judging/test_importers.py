"""Foreign files: what they mean, and that no content of them does harm."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.judging.exporters import CSV_COLUMNS, to_csv, to_jsonl, verdict_values
from services.judging.importers import RESPONSE_FORMATS, VERDICT_FORMATS, Imported, read_response_file, read_verdicts
from services.judging.verdicts import State, Verdict
from services.shared.errors import InvalidInput

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["instruction", "preference", "generator_1", "generator_2", "output", "generator", "idx", "annotator1",
     "gpt_result", "question_id", "score", "winner", "g1_winner", "g2_winner", "model_1", "model_2",
     "model", "model_a", "model_b",
     "turn", "judge", "prompt_id", "systems", "state", "scores", "label", "choices", "model_id", "text", "response1"]
)  # fmt: skip


def read(form: str, value: Any) -> Imported:
    return read_verdicts(form, io.BytesIO(json.dumps(value).encode()))


@pytest.mark.parametrize("form", VERDICT_FORMATS)
@given(data=st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_any_bytes_are_read_or_refused(form: str, data: bytes) -> None:
    try:
        imported = read_verdicts(form, io.BytesIO(data))
    except InvalidInput:
        return
    assert imported.skipped >= len(imported.problems)


@pytest.mark.parametrize("form", VERDICT_FORMATS)
@given(records=st.lists(st.dictionaries(KEYS, JSON, max_size=8), max_size=4))
@settings(max_examples=30, deadline=None)
def test_any_records_are_read_or_counted(form: str, records: list[dict[str, Any]]) -> None:
    if form == "lima-csv":
        return
    imported = read(form, records)
    assert imported.skipped + len(imported.entries) >= len(records)
    for entry in imported.entries:
        verdict = entry.verdict
        assert verdict.preference is None or 0 <= verdict.preference <= 1
        assert verdict.state is not State.OK or verdict.preference is not None or verdict.scores or verdict.label


@pytest.mark.parametrize("form", RESPONSE_FORMATS)
@given(records=st.lists(st.dictionaries(KEYS, JSON, max_size=8), max_size=4))
@settings(max_examples=30, deadline=None)
def test_any_response_records_are_read_or_counted(form: str, records: list[dict[str, Any]]) -> None:
    found, problems = read_response_file(form, io.BytesIO(json.dumps(records).encode()))
    assert len(problems) + sum(map(len, found.values())) >= len(records)


VERDICTS = st.builds(
    Verdict,
    prompt_id=st.text(min_size=1, max_size=20),
    systems=st.tuples(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8)),
    judge=st.text(min_size=1, max_size=20),
    judge_kind=st.sampled_from(["human", "llm", "imported"]),
    preference=st.floats(0, 1),
    scores=st.just(()) | st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
    first_on_a=st.booleans(),
    sample=st.integers(0, 9),
    draw=st.integers(0, 9),
    reasoning=st.text(max_size=50),
    seconds=st.floats(0, 1e6),
    created=st.none() | st.datetimes(),
)


@given(st.lists(VERDICTS, max_size=5))
@settings(max_examples=30, deadline=None)
def test_what_we_export_we_import(verdicts: list[Verdict]) -> None:
    for form, lines in (("lima-jsonl", to_jsonl(verdicts)), ("lima-csv", to_csv(verdicts))):
        imported = read_verdicts(form, io.BytesIO(b"".join(lines)))
        assert imported.problems == []
        assert [verdict_values(entry.verdict) for entry in imported.entries] == list(map(verdict_values, verdicts))


def test_a_cell_of_our_csv_is_no_formula() -> None:
    verdict = Verdict("p", ("a", "b"), "judge", "llm", preference=1.0, reasoning='=HYPERLINK("http://x")')
    text = b"".join(to_csv([verdict])).decode()
    row = next(csv.DictReader(io.StringIO(text)))
    assert list(row) == list(CSV_COLUMNS)
    assert row["reasoning"].startswith("'=")


@pytest.mark.parametrize(
    ("preference", "state", "expected"),
    [(1, "ok", 0), (2, "ok", 1), (1.5, "ok", 0.5), (0, "ok", 0.5), (1.25, "ok", 0.25), (None, "unparsable", None)],
)
def test_alpaca_eval_preferences(preference: float | None, state: str, expected: float | None) -> None:
    record = {"instruction": "i", "generator_1": "base", "generator_2": "new", "preference": preference}
    (entry,) = read("alpaca-eval", [record]).entries
    assert (entry.verdict.state, entry.verdict.preference, entry.verdict.systems) == (state, expected, ("new", "base"))


def test_mt_bench_pairs_keep_both_games() -> None:
    record = {
        "question_id": 81, "model_1": "x", "model_2": "y", "g1_winner": "model_1", "g2_winner": "error",
        "judge": ["gpt-4", "pair-v2"], "turn": 1, "g1_judgment": "[[A]]", "g2_judgment": "?",
    }  # fmt: skip
    first, second = read("mt-bench", [record]).entries
    assert (first.verdict.preference, first.verdict.first_on_a, first.verdict.state) == (1.0, True, "ok")
    assert (second.verdict.preference, second.verdict.first_on_a, second.verdict.state) == (None, False, "unparsable")
    assert first.verdict.judge == "gpt-4/pair-v2"


def test_mt_bench_scores_and_votes() -> None:
    single = {"question_id": 81, "model": "x", "judge": ["gpt-4", "single-v1"], "score": 7, "turn": 2}
    lost = {**single, "score": -1}
    vote = {"question_id": 81, "model_a": "x", "model_b": "y", "winner": "tie (bothbad)", "judge": "expert_3"}
    scored, unparsed, tie = (entry.verdict for entry in read("mt-bench", [single, lost, vote]).entries)
    assert (scored.scores, scored.turn, scored.systems) == ((7.0,), 1, ("x",))
    assert (unparsed.state, unparsed.scores) == (State.UNPARSABLE, ())
    assert (tie.preference, tie.judge_kind) == (0.5, "human")


def test_a_vicuna_score_of_minus_one_is_unparsable() -> None:
    (entry,) = read("vicuna", [{"question_id": 3, "score": [-1, -1]}]).entries
    assert (entry.verdict.state, entry.verdict.scores) == (State.UNPARSABLE, ())


def test_a_bad_record_is_named_and_the_others_are_kept() -> None:
    imported = read("vicuna", [{"question_id": 1, "score": [8, 9]}, {"question_id": 2, "score": "8 9"}])
    assert len(imported.entries) == 1
    assert imported.problems == ["entry 1: score must be list, got '8 9'"]


def test_gzip_is_seen_through_and_a_broken_one_refused() -> None:
    data = gzip.compress(json.dumps([{"question_id": 1, "score": [8, 9]}]).encode())
    assert len(read_verdicts("vicuna", io.BytesIO(data)).entries) == 1
    with pytest.raises(InvalidInput, match="whole gzip"):
        read_verdicts("vicuna", io.BytesIO(data[:-9]))


def test_answers_find_their_questions() -> None:
    question = io.BytesIO(json.dumps([{"question_id": 1, "turns": ["first?", "second?"]}]).encode())
    answer = {"question_id": 1, "model_id": "m", "choices": [{"index": 0, "turns": ["one", "two"]}]}
    found, problems = read_response_file("mt-bench", io.BytesIO(json.dumps([answer]).encode()), question)
    assert problems == []
    (response,) = found["m"]
    assert [turn.content for turn in response.messages] == ["first?", "one", "second?"]
    assert response.response == "two"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must be one of lima-jsonl"):
        read("excel", [])
