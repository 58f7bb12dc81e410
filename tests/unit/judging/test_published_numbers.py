"""Published numbers, from the real files they were published about."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from services.judging.importers import Imported, read_verdicts
from services.judging.statistics import agreement
from services.judging.statistics.estimate import IntArray
from services.judging.statistics.pairwise import PairSummary, PairVerdicts, summarise
from services.judging.statistics.proportion import standard_error
from services.judging.verdicts import State

LABELS = {0.5: 0, 1.0: 1, 0.0: 2}
TIE, UNPARSABLE = 0, 3


def imported(path: Path, form: str, systems: tuple[str, ...] = ()) -> Imported:
    with path.open("rb") as stream:
        found = read_verdicts(form, stream, systems)
    assert found.problems == []
    return found


def pair_of(found: Imported) -> tuple[PairSummary, np.ndarray]:
    usable = [entry.verdict for entry in found.entries if entry.verdict.state is State.OK]
    preference = np.array([verdict.preference for verdict in usable], dtype=np.float64)
    codes = np.arange(len(usable))
    one_side = np.zeros(len(usable), dtype=np.bool_)
    excluded = {"unparsable": len(found.entries) - len(usable)}
    return summarise(PairVerdicts(codes, preference, one_side, np.zeros_like(codes), excluded)), preference


def published(real_data: Path, board: str, model: str) -> dict[str, float]:
    with (real_data / "alpaca_eval/leaderboards" / board).open() as file:
        row = next(row for row in csv.DictReader(file) if row[""] == model)
    return {key: float(value) for key, value in row.items() if key not in ("", "mode") and value}


@pytest.mark.parametrize("model", ["claude-2", "gemma-2b-it", "gpt-3.5-turbo-0301", "vicuna-13b"])
def test_alpaca_eval_2(real_data: Path, model: str) -> None:
    path = real_data / f"alpaca_eval/results/{model}/weighted_alpaca_eval_gpt4_turbo_annotations.json.gz"
    summary, preference = pair_of(imported(path, "alpaca-eval"))
    row = published(real_data, "alpaca_eval_2.csv", model)
    assert 100 * summary.win_rate.value == pytest.approx(row["win_rate"], abs=5e-7)
    assert 100 * standard_error(preference) == pytest.approx(row["standard_error"], abs=5e-7)
    assert (summary.wins, summary.losses, summary.ties) == (row["n_wins"], row["n_wins_base"], row["n_draws"])
    assert 100 * (summary.wins + summary.ties / 2) / summary.win.n == pytest.approx(row["discrete_win_rate"])
    if model == "claude-2":
        assert 100 * summary.win_rate.value == pytest.approx(17.188240, abs=5e-7)
        assert 100 * standard_error(preference) == pytest.approx(1.174828, abs=5e-7)
        assert (summary.wins, summary.losses, summary.ties) == (131, 673, 1)
    # The bootstrap interval agrees with the published standard error.
    half = (summary.win_rate.high - summary.win_rate.low) / 2
    assert 100 * half == pytest.approx(1.96 * row["standard_error"], rel=0.06)


@pytest.mark.parametrize(
    ("model", "rate", "unparsable"),
    [("vicuna-13b", 70.434783, 0), ("claude-2", 91.355721, 1), ("gpt-3.5-turbo-0301", 89.365672, 1)],
)
def test_alpaca_eval_1(real_data: Path, model: str, rate: float, unparsable: int) -> None:
    path = real_data / f"alpaca_eval/results/{model}/alpaca_eval_gpt4_annotations.json.gz"
    summary, _ = pair_of(imported(path, "alpaca-eval"))
    row = published(real_data, "alpaca_eval_1.csv", model)
    assert 100 * summary.win_rate.value == pytest.approx(rate, abs=5e-7)
    assert 100 * summary.win_rate.value == pytest.approx(row["discrete_win_rate"])
    assert (summary.win.n, summary.win.excluded) == (row["n_total"], {"unparsable": unparsable} if unparsable else {})


@pytest.fixture(scope="module")
def pandalm(real_data: Path) -> IntArray:
    """Labels of three people, shape (999, 3)."""
    entries = imported(real_data / "pandalm/testset-v1.json", "pandalm").entries
    return np.array([LABELS[entry.verdict.preference or 0.0] for entry in entries]).reshape(-1, 3)


def test_people_of_pandalm_agree_as_published(pandalm: IntArray) -> None:
    pairs = [(0, 1), (0, 2), (1, 2)]
    kappas = [agreement.cohen_kappa(pandalm[:, i], pandalm[:, j], 3) for i, j in pairs]
    by_pair = sorted(round(kappa.value, 3) for kappa in kappas)
    assert by_pair == [0.852, 0.862, 0.879]
    assert all(kappa.low < kappa.value < kappa.high for kappa in kappas)
    points = [agreement.tie_discounted(pandalm[:, i], pandalm[:, j], TIE).value for i, j in pairs]
    assert [round(value, 4) for value in points] == [0.9304, 0.9449, 0.9354]
    assert agreement.fleiss_kappa(pandalm, 3).value == pytest.approx(0.864175, abs=5e-7)
    assert agreement.krippendorff_alpha(pandalm, 3).value == pytest.approx(0.864221, abs=5e-7)


def test_majority_of_pandalm(pandalm: IntArray) -> None:
    counts = np.bincount(agreement.majority(pandalm, 3, undecided=UNPARSABLE))
    assert counts.tolist() == [105, 422, 472]


def test_accuracy_of_gpt_35_depends_on_what_is_done_with_unparsable_verdicts(
    real_data: Path, pandalm: IntArray
) -> None:
    entries = imported(real_data / "pandalm/gpt-3.5-turbo-testset-v1.json", "pandalm").entries
    judge = np.array(
        [UNPARSABLE if entry.verdict.preference is None else LABELS[entry.verdict.preference] for entry in entries]
    )
    people = agreement.majority(pandalm, 3, undecided=UNPARSABLE)
    parsed = judge != UNPARSABLE
    assert (~parsed).sum() == 25
    assert np.mean(np.where(parsed, judge, TIE) == people) == pytest.approx(0.7107, abs=5e-5)
    assert np.mean(judge == people) == pytest.approx(0.6977, abs=5e-5)
    assert np.mean((judge == people)[parsed]) == pytest.approx(0.7156, abs=5e-5)


@pytest.mark.parametrize(
    ("other", "sums"),
    [
        ("llama-13b", (513, 694)),
        ("alpaca-13b", (583, 704)),
        ("bard", (664, 655.5)),
        ("gpt35", (693, 638)),
    ],
)
def test_score_sums_of_vicuna(real_data: Path, other: str, sums: tuple[float, float]) -> None:
    path = real_data / f"vicuna80/review/vicuna-13b_20230322-clean-lang/review_{other}_vicuna-13b.jsonl"
    entries = imported(path, "vicuna", (other, "vicuna-13b")).entries
    assert len(entries) == 80
    assert tuple(np.sum([entry.verdict.scores for entry in entries], axis=0)) == sums
    assert {entry.verdict.systems for entry in entries} == {(other, "vicuna-13b")}
