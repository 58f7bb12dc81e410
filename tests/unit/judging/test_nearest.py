"""Nearest training examples, against scikit-learn's TF-IDF where both mean the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from services.judging.nearest import TrainingIndex

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
