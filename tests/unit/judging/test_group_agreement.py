"""Agreement of groups whose people judged different items, against the reference libraries."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from statsmodels.stats.inter_rater import fleiss_kappa

from services.judging.columns import ColumnsBuilder, ItemGroup, VerdictGroup
from services.judging.group_agreement import AgreementResult, ReliabilityResult, group_agreement
from services.judging.protocols import RULES, Protocol

PROMPTS, PEOPLE, OVERLAP = 40, 6, 3
PAIRWISE = RULES[Protocol.PAIRWISE]


def ratings() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Preferences of shape (prompts, people), NaN where somebody did not see the prompt: three of six did."""
    generator = np.random.default_rng(3)
    truth = generator.choice([0.0, 0.5, 1.0], PROMPTS)
    noise = generator.choice([0.0, 0.5, 1.0], (PROMPTS, PEOPLE))
    table = np.where(generator.random((PROMPTS, PEOPLE)) < 0.6, truth[:, None], noise)
    for row in table:
        row[generator.permutation(PEOPLE)[OVERLAP:]] = np.nan
    return table


def agreements(order: np.random.Generator | None = None) -> tuple[list[AgreementResult], list[ReliabilityResult]]:
    builder = ColumnsBuilder(lambda judge, kind: "crowd")
    names = [f"p{prompt}" for prompt in range(PROMPTS)]
    builder.add_items(ItemGroup(("a", "b"), "", names, names, [0.0] * PROMPTS))
    given = [(p, who, value) for (p, who), value in np.ndenumerate(ratings()) if not np.isnan(value)]
    if order is not None:
        order.shuffle(given)
    for prompt, who, value in given:
        builder.add_verdicts(
            VerdictGroup(f"person-{who}", "human", "", None, True, 0, [names[int(prompt)]], [float(value)])
        )
    return group_agreement(builder.columns(), PAIRWISE, resamples=300, seed=0)


def test_people_who_judged_different_items_have_the_kappa_and_alpha_of_the_libraries() -> None:
    (between,), (within,) = agreements()
    table = ratings()
    counts = np.stack([(table == value).sum(axis=1) for value in (0.0, 0.5, 1.0)], axis=1)
    assert within.fleiss_kappa.value == pytest.approx(fleiss_kappa(counts))
    alpha = krippendorff.alpha(reliability_data=table.T, level_of_measurement="nominal")
    assert within.krippendorff_alpha.value == pytest.approx(alpha)
    assert within.fleiss_kappa.low < within.fleiss_kappa.value < within.fleiss_kappa.high
    assert within.fleiss_kappa.n == between.kappa.n == PROMPTS


def test_the_order_of_verdicts_changes_nothing() -> None:
    assert agreements() == agreements(np.random.default_rng(1))
