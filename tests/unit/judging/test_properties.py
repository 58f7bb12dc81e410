"""What must hold for any verdicts at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.judging.statistics import agreement
from services.judging.statistics.bradley_terry import bradley_terry
from services.judging.statistics.estimate import Estimate
from services.judging.statistics.length import length_effect
from services.judging.statistics.pairwise import PairSummary, PairVerdicts, summarise
from services.judging.statistics.proportion import wilson
from services.judging.statistics.resampling import resampled_means


@st.composite
def verdicts(draw: st.DrawFn) -> PairVerdicts:
    """Up to 60 verdicts on up to 30 prompts, in one or two orders."""
    n = draw(st.integers(1, 60))
    prompts = draw(st.lists(st.integers(0, 29), min_size=n, max_size=n))
    preference = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 0.25]), min_size=n, max_size=n))
    sides = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return PairVerdicts(np.array(prompts), np.array(preference), np.array(sides), np.zeros(n, dtype=np.int64))


def same(first: Estimate, second: Estimate, *, mirrored: bool = False) -> None:
    value, low, high = second.value, second.low, second.high
    if mirrored:
        value, low, high = 1 - value, 1 - high, 1 - low
    assert first.n == second.n
    assert first.value == pytest.approx(value, nan_ok=True)
    assert (first.low, first.high) == pytest.approx((low, high), abs=1e-9, nan_ok=True)


@given(verdicts())
# A mean of 1/6, which resamples repeat up to rounding.
@example(PairVerdicts(np.zeros(3, dtype=int), np.array([0, 0, 0.5]), np.zeros(3, dtype=bool), np.zeros(3, dtype=int)))
@settings(max_examples=30, deadline=None)
def test_swapping_systems_mirrors_every_result(given: PairVerdicts) -> None:
    ours, theirs = summarise(given), summarise(given.swapped())
    same(ours.win, theirs.lose)
    same(ours.tie, theirs.tie)
    same(ours.win_rate, theirs.win_rate, mirrored=True)
    same(ours.flip_rate, theirs.flip_rate)
    same(ours.position_bias, theirs.position_bias)
    assert (ours.wins, ours.ties, ours.losses) == (theirs.losses, theirs.ties, theirs.wins)
    assert (ours.sign_p, ours.position_p) == (theirs.sign_p, theirs.position_p)


@given(verdicts(), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_shuffling_changes_nothing(given: PairVerdicts, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(given.prompts))
    shuffled = PairVerdicts(given.prompts[order], given.preference[order], given.first_on_a[order], given.sample[order])
    assert_same(summarise(given), summarise(shuffled))


@given(verdicts(), st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_repeating_verdicts_narrows_no_interval(given: PairVerdicts, times: int) -> None:
    repeated = PairVerdicts(
        *(np.tile(column, times) for column in (given.prompts, given.preference, given.first_on_a, given.sample))
    )
    assert_same(summarise(given), replace(summarise(repeated), verdicts=len(given.prompts)))


def assert_same(first: PairSummary, second: PairSummary) -> None:
    for name in PairSummary.__dataclass_fields__:
        one, other = getattr(first, name), getattr(second, name)
        if isinstance(one, Estimate):
            same(one, other)
        else:
            assert one == other, name


@given(verdicts())
@settings(max_examples=30, deadline=None)
def test_every_interval_holds_its_value(given: PairVerdicts) -> None:
    summary = summarise(given)
    shares = summary.win.value + summary.tie.value + summary.lose.value
    assert shares == pytest.approx(1)
    for name in PairSummary.__dataclass_fields__:
        estimate = getattr(summary, name)
        if isinstance(estimate, Estimate) and estimate.known:
            assert 0 <= estimate.low <= estimate.value + 1e-9
            assert estimate.value - 1e-9 <= estimate.high <= 1


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_stays_within_bounds_and_mirrors(successes: int, n: int) -> None:
    successes = min(successes, n)
    ours, theirs = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1
    assert ours.low == pytest.approx(1 - theirs.high)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=80))
@settings(max_examples=30, deadline=None)
def test_agreement_is_symmetric_and_at_most_one(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs)
    there = agreement.cohen_kappa(table[:, 0], table[:, 1], 3)
    back = agreement.cohen_kappa(table[:, 1], table[:, 0], 3)
    assert there.value == pytest.approx(back.value, nan_ok=True)
    assert np.isnan(there.value) or there.value <= 1 + 1e-12
    points = agreement.tie_discounted(table[:, 0], table[:, 1], 1).value
    assert 0 <= points <= 1
    assert (points == 1) == bool((table[:, 0] == table[:, 1]).all())


@given(verdicts())
# Two prompts on which the first answer is longer by about ten standard deviations of the difference: what would come
# of equal lengths was decided by rounding.
@example(PairVerdicts(np.array([6, 24, 24]), np.array([0.5, 0, 0.5]), np.zeros(3, dtype=bool), np.zeros(3, dtype=int)))
@settings(max_examples=30, deadline=None)
def test_length_control_mirrors_and_stays_finite(given: PairVerdicts) -> None:
    difference = np.where(given.preference > 0.4, 100.0, -30.0) * (given.prompts + 1)
    ours = length_effect(given.preference, difference, given.prompts)
    theirs = length_effect(1 - given.preference, -difference, given.prompts)
    same(ours.controlled_win_rate, theirs.controlled_win_rate, mirrored=True)
    same(ours.longer_preferred, theirs.longer_preferred)
    assert 0 <= ours.controlled_win_rate.low <= ours.controlled_win_rate.high <= 1


@pytest.mark.parametrize(
    ("preference", "difference"),
    [([0.5, 0.25], [100.0, -300.0]), ([0.5, 0.0, 1.0, 0.0], [700.0, 701.0, 702.0, 703.0])],
    ids=["two prompts", "lengths alike"],
)
def test_length_is_not_said_to_be_controlled_where_it_cannot(preference: list[float], difference: list[float]) -> None:
    effect = length_effect(np.array(preference), np.array(difference), np.arange(len(preference)))
    assert not effect.slope.known
    controlled = effect.controlled_win_rate
    assert controlled.value == pytest.approx(np.mean(preference), abs=1e-5)
    assert controlled.low < controlled.value < controlled.high
    assert "too few or differences of length too alike" in controlled.method


def test_a_system_that_never_lost_has_a_finite_strength() -> None:
    n = 40
    first, second = np.zeros(n, dtype=np.int64), np.arange(n) % 2 + 1
    strengths = bradley_terry(first, second, np.ones(n), np.arange(n), 3)
    assert strengths[0].log_odds.value > max(each.log_odds.value for each in strengths[1:])
    assert np.isfinite([each.log_odds.high for each in strengths]).all()


def test_resamples_depend_on_the_seed_alone() -> None:
    rows = np.random.default_rng(0).random((50, 2))
    assert (resampled_means(rows, seed=1) == resampled_means(rows[::-1].copy(), seed=1)).all()
    assert not (resampled_means(rows, seed=1) == resampled_means(rows, seed=2)).all()


def test_nothing_is_claimed_from_nothing() -> None:
    nothing = PairVerdicts(*(np.empty(0, dtype=kind) for kind in (np.int64, np.float64, np.bool_, np.int64)))
    summary = summarise(nothing)
    assert not summary.win.known
    assert not summary.win_rate.known
    assert (summary.win.n, summary.sign_p) == (0, 1.0)
    assert summarise(replace(nothing, excluded={"unparsable": 3})).win.excluded == {"unparsable": 3}


def test_where_sides_did_not_vary_there_is_no_position_bias_to_tell() -> None:
    """As in AlpacaEval's files, which do not say on which side an answer stood."""
    preference = np.array([1.0, 1.0, 0.0, 0.5, 1.0])
    prompts = np.arange(5)
    for side in (True, False):
        found = summarise(PairVerdicts(prompts, preference, np.full(5, side), prompts))
        assert not found.position_bias.known
        assert found.win_rate.known


def test_few_prompts_need_the_sign_test_too() -> None:
    """Of seven prompts one was won: the bootstrap interval excludes one half, the exact test does not."""
    prompts = np.arange(7)
    found = summarise(PairVerdicts(prompts, np.array([1.0] + [0.0] * 6), prompts % 2 == 0, prompts))
    assert not found.win_rate.contains(0.5)
    assert not found.supported
