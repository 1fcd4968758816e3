"""`combined`: a fixed formula that holds for any number of answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gmean

from semcascade.signals import Evidence, centrality, get_signal

COMBINED = get_signal("combined")
THREE = np.array([[1.0, 1.0, 0.5], [1.0, 1.0, 0.25], [0.5, 0.25, 1.0]])
WORDS = ((("a", "b"),), (("a", "b"),), (("a", "c"),))


def reliability(matrix: np.ndarray, **more: object) -> float | None:
    return COMBINED.score(Evidence(matrix, **more)).reliability


def test_consistency_is_the_mean_of_what_is_defined():
    mean = (1.0 + 0.5 + 0.25) / 3
    assert reliability(THREE) == pytest.approx((0.75 + mean) / 2)
    ngram = get_signal("selfcheck_ngram_mean").score(Evidence(THREE, sentences=WORDS)).reliability
    assert reliability(THREE, sentences=WORDS) == pytest.approx((0.75 + mean + ngram) / 3)
    assert reliability(THREE, chosen=2) == pytest.approx((0.375 + mean) / 2)


def test_token_confidence_joins_in_where_it_is_known():
    without = reliability(THREE)
    found = reliability(THREE, logprobs=((-0.5, -1.5), None, None))
    assert found == pytest.approx(gmean([without, math.exp(-1)]))
    assert reliability(THREE, logprobs=(None, (-1.0,), None)) == pytest.approx(without)


def test_one_answer_has_its_tokens_or_nothing():
    assert reliability(np.ones((1, 1)), logprobs=((-2.0,),)) == pytest.approx(math.exp(-2))
    alone = COMBINED.score(Evidence(np.ones((1, 1))))
    assert (alone.value, alone.note) == (None, "combined is undefined for these answers")


def test_two_answers_have_their_one_similarity():
    assert reliability(np.array([[1.0, 0.3], [0.3, 1.0]])) == pytest.approx(0.3)


@given(st.integers(2, 12))
def test_the_ends_are_reached_for_any_number_of_answers(n: int):
    same = ((("a", "b"),),) * n
    apart = tuple(((f"w{index}",),) for index in range(n))
    assert reliability(np.ones((n, n)), sentences=same, logprobs=((0.0,),) * n) == pytest.approx(1.0)
    assert reliability(np.eye(n), sentences=apart) == pytest.approx(0.0, abs=1e-9)
    assert reliability(np.ones((n, n)), logprobs=((-50.0,),) * n) == pytest.approx(0.0, abs=1e-9)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_similar_answers_are_never_less_reliable(low: float, high: float):
    low, high = sorted((low, high))

    def matrix(similarity: float) -> np.ndarray:
        changed = THREE.copy()
        changed[1, 2] = changed[2, 1] = similarity
        return changed

    assert centrality(matrix(high)).max() >= centrality(matrix(low)).max()
    assert reliability(matrix(high), sentences=WORDS) >= reliability(matrix(low), sentences=WORDS) - 1e-12
