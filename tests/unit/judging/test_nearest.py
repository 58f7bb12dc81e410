"""Nearest training examples, against scikit-learn's TF-IDF where both mean the same."""

from __future__ import annotations

import html
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from services.judging.nearest import TrainingIndex
from services.judging.splits import THRESHOLD

TEXTS = ["the cat sat on the mat", "a dog sat on a log", "the cat chased the dog", "stars burn hydrogen"]


def test_similarities_are_those_of_scikit_learn() -> None:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+", norm="l2")
    trained = vectorizer.fit_transform(TEXTS)
    theirs = (vectorizer.transform(TEXTS) @ trained.T).toarray()
    index = TrainingIndex([(str(number), text) for number, text in enumerate(TEXTS)])
    for row, found in enumerate(index.nearest(TEXTS, 4)):
        for near in found:
            assert np.isclose(near.similarity, theirs[row, int(near.example)])
    assert index.nearest(["words of no example"], 1) == [[]]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_any_text_is_nearest_to_itself(texts: list[str]) -> None:
    index = TrainingIndex([(str(number), text) for number, text in enumerate(texts)])
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


def test_the_threshold_tells_one_site_from_another_best(shared_data: Path) -> None:
    """Trained on half of one site's questions, the other half is near and the other site's are far."""
    folder = shared_data / "stackexchange"
    coffee = questions(folder / "coffee.stackexchange.com")
    teaching = questions(folder / "matheducators.stackexchange.com")
    half = len(coffee) // 2
    whole = [(coffee[:half], coffee[half:], teaching[:half]), (teaching[:200], teaching[200:], coffee[:200])]
    titles = [tuple([text.split("\n")[0] for text in texts] for texts in one) for one in whole]
    measured = []
    for trained, near, far in (*whole, *titles):
        index = TrainingIndex([(str(number), text) for number, text in enumerate(trained)])
        measured.append(
            [np.array([found[0].similarity if found else 0.0 for found in index.nearest(texts, 1)])
             for texts in (near, far)]
        )  # fmt: skip

    def accuracy(threshold: float) -> float:
        return float(np.mean([((near >= threshold).mean() + (far < threshold).mean()) / 2 for near, far in measured]))

    assert max((step / 100 for step in range(4, 21)), key=accuracy) == THRESHOLD
    shares = [(f"{(near >= THRESHOLD).mean():.2f}", f"{(far < THRESHOLD).mean():.2f}") for near, far in measured[:2]]
    assert shares == [("0.84", "0.85"), ("0.66", "0.96")], "docs/judging.md states these"
