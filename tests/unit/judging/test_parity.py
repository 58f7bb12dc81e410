"""Our statistics against the libraries that people trust for them."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar as sm_mcnemar
from statsmodels.stats.descriptivestats import sign_test as sm_sign_test
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import cohens_kappa as sm_cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as sm_fleiss_kappa
from statsmodels.stats.proportion import proportion_confint

from services.judging.statistics import agreement, bradley_terry, length, proportion, scores
from services.judging.statistics.resampling import bootstrap, cluster_means, mean_difference, resampled_means


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (3, 10), (131, 805), (1, 1)])
def test_wilson_is_that_of_statsmodels(successes: int, n: int) -> None:
    ours = proportion.wilson(successes, n)
    assert (ours.low, ours.high) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 3), (10, 2), (400, 350), (0, 7)])
def test_sign_and_mcnemar(wins: int, losses: int) -> None:
    if wins + losses:
        assert proportion.sign_test(wins, losses) == pytest.approx(scipy.stats.binomtest(wins, wins + losses).pvalue)
        signs = np.array([1.0] * wins + [-1.0] * losses)
        assert proportion.sign_test(wins, losses) == pytest.approx(sm_sign_test(signs)[1])
    else:
        assert proportion.sign_test(wins, losses) == 1
    table = [[5, wins], [losses, 7]]
    assert proportion.mcnemar(wins, losses) == pytest.approx(min(1, sm_mcnemar(table, exact=True).pvalue))
    if wins + losses:
        theirs = sm_mcnemar(table, exact=False, correction=True)
        assert proportion.mcnemar_chi_square(wins, losses) == pytest.approx((theirs.statistic, theirs.pvalue))


def ratings(seed: int, raters: int = 3, categories: int = 3, n: int = 200) -> np.ndarray:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, categories, n)
    noise = generator.integers(0, categories, (n, raters))
    return np.where(generator.random((n, raters)) < 0.7, truth[:, None], noise)


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_that_of_the_libraries(seed: int) -> None:
    table = ratings(seed)
    ours = agreement.cohen_kappa(table[:, 0], table[:, 1], 3)
    assert ours.value == pytest.approx(cohen_kappa_score(table[:, 0], table[:, 1]))
    assert agreement.fleiss_kappa(table, 3).value == pytest.approx(sm_fleiss_kappa(aggregate_raters(table, 3)[0]))
    holes = table.astype(float)
    holes[np.random.default_rng(seed).random(table.shape) < 0.2] = np.nan
    for level in ("nominal", "interval"):
        theirs = krippendorff.alpha(holes.T, level_of_measurement=level, value_domain=[0, 1, 2])
        with_missing = np.where(np.isnan(holes), agreement.MISSING, holes).astype(np.int64)
        assert agreement.krippendorff_alpha(with_missing, 3, level=level).value == pytest.approx(theirs)


def test_kappa_interval_is_near_the_asymptotic_one() -> None:
    table = ratings(3, n=1000)
    cells = np.bincount(table[:, 0] * 3 + table[:, 1], minlength=9).reshape(3, 3)
    theirs = sm_cohens_kappa(cells)
    ours = agreement.cohen_kappa(table[:, 0], table[:, 1], 3)
    assert (ours.low, ours.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_likert_interval_is_that_of_scipy(seed: int) -> None:
    values = np.random.default_rng(seed).integers(1, 7, 60).astype(float)
    ours = scores.t_interval(values)
    theirs = scipy.stats.t.interval(0.95, 59, values.mean(), scipy.stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx(theirs)
    differences = scores.paired_difference(values, np.arange(60), values[::-1].copy(), np.arange(60))
    low, high = scipy.stats.ttest_rel(values, values[::-1]).confidence_interval()
    assert (differences.low, differences.high) == pytest.approx((low, high))


@pytest.mark.parametrize("seed", range(5))
def test_spearman_is_that_of_scipy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 8, 15).astype(float), generator.random(15)
    assert scores.spearman(first, second).value == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
    assert scores.ranks(first) == pytest.approx(scipy.stats.rankdata(first))


def test_bootstrap_is_near_that_of_scipy() -> None:
    values = np.random.default_rng(1).choice([0.0, 0.5, 1.0], 300, p=[0.3, 0.2, 0.5])
    ours = bootstrap(values[:, None], lambda means: means[:, 0], "mean", resamples=20_000)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=1)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.004)


def test_clustered_standard_error_is_that_of_statsmodels() -> None:
    generator = np.random.default_rng(2)
    clusters = np.repeat(np.arange(200), 2)
    values = np.repeat(generator.random(200), 2) + 0.1 * generator.random(400)
    rows, _ = cluster_means(values[:, None], clusters)
    ours = resampled_means(rows, resamples=20_000)[:, 0].std()
    fit = sm.OLS(values, np.ones(400)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    assert ours == pytest.approx(fit.bse[0], rel=0.02)


def test_resampling_by_counts_and_by_indices_agree() -> None:
    generator = np.random.default_rng(3)
    few = generator.choice([0.0, 0.5, 1.0], 500)
    many = few + 1e-9 * generator.random(500)
    by_counts = resampled_means(few[:, None], resamples=20_000).std()
    by_indices = resampled_means(many[:, None], resamples=20_000).std()
    assert by_counts == pytest.approx(by_indices, rel=0.03)


def test_paired_bootstrap_covers_the_t_interval() -> None:
    generator = np.random.default_rng(4)
    first, second = generator.random(400), generator.random(400)
    ours = mean_difference(first, second, resamples=10_000)
    low, high = scipy.stats.ttest_rel(first, second).confidence_interval()
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.003)


def test_length_control_is_the_glm_of_statsmodels() -> None:
    generator = np.random.default_rng(5)
    difference = generator.normal(100, 300, 500)
    preference = (generator.random(500) < scipy.special.expit(0.3 + 0.004 * difference)).astype(float)
    preference[generator.random(500) < 0.1] = 0.5
    design = np.stack([np.ones(500), np.tanh(difference / difference.std())], axis=1)
    theirs = sm.GLM(preference, design, family=sm.families.Binomial()).fit(cov_type="HC0")
    ours = length.length_effect(preference, difference, np.arange(500))
    assert ours.controlled_win_rate.value == pytest.approx(scipy.special.expit(theirs.params[0]), abs=1e-6)
    assert ours.slope.value == pytest.approx(theirs.params[1], abs=1e-5)
    low, high = scipy.special.expit(theirs.conf_int()[0])
    assert (ours.controlled_win_rate.low, ours.controlled_win_rate.high) == pytest.approx((low, high), abs=1e-5)


def test_bradley_terry_is_the_clustered_logit_of_statsmodels() -> None:
    generator = np.random.default_rng(6)
    truth = np.array([0.8, 0.2, -0.3, -0.7])
    first, second = generator.integers(0, 4, 2000), generator.integers(0, 4, 2000)
    first, second = first[first != second], second[first != second]
    prompts = generator.integers(0, 400, len(first))
    wins = (generator.random(len(first)) < scipy.special.expit(truth[first] - truth[second])).astype(float)
    # The last strength is minus the sum of the others.
    contrasts = np.vstack([np.eye(3), -np.ones(3)])
    model = sm.GLM(wins, contrasts[first] - contrasts[second], family=sm.families.Binomial())
    kinds = {"groups": prompts, "use_correction": False}
    theirs = model.fit(cov_type="cluster", cov_kwds=kinds, maxiter=200, tol=1e-12)
    ours = bradley_terry.bradley_terry(first, second, wins, prompts, 4)
    assert [each.log_odds.value for each in ours[:3]] == pytest.approx(theirs.params, abs=1e-4)
    low_and_high = [(each.log_odds.low, each.log_odds.high) for each in ours[:3]]
    assert np.array(low_and_high) == pytest.approx(theirs.conf_int(), abs=1e-3)
    assert sum(each.log_odds.value for each in ours) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("difference", "ties"), [(0.05, 0.0), (0.1, 0.3), (0.2, 0.5)])
def test_power_is_reached_when_simulated(difference: float, ties: float) -> None:
    n = proportion.prompts_needed(difference, tie_share=ties)
    win = (1 - ties) / 2 + difference
    draws = np.random.default_rng(7).multinomial(n, [win, ties, 1 - ties - win], size=4000)
    z = (draws[:, 0] - draws[:, 2]) / np.sqrt(draws[:, 0] + draws[:, 2])
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.8, abs=0.05)
    assert proportion.smallest_difference(n, tie_share=ties) == pytest.approx(difference, rel=0.02)
