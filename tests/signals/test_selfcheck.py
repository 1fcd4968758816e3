"""SelfCheckGPT against independent reference code, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.signals import Evidence, get_signal

SENTENCES = st.lists(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5).map(tuple), min_size=1, max_size=3
).map(tuple)
ANSWERS = st.lists(SENTENCES, min_size=2, max_size=5).map(tuple)


def score(name: str, sentences: object, **more: object):
    return get_signal(name).score(Evidence(np.eye(len(sentences)), sentences=sentences, **more))


def reference(sentences: object, chosen: int) -> tuple[float, float]:
    """Maximum and mean as the published code has them: unigram counts of the answer and all samples, no smoothing."""
    words = np.array([word for answer in sentences for sentence in answer for word in sentence])
    vocabulary, counts = np.unique(words, return_counts=True)
    log_p = dict(zip(vocabulary.tolist(), np.log(counts / counts.sum()), strict=True))
    by_sentence = [np.array([log_p[word] for word in sentence]) for sentence in sentences[chosen]]
    return float(np.mean([-found.min() for found in by_sentence])), float(-np.concatenate(by_sentence).mean())


@given(ANSWERS, st.data())
def test_ngram_equals_the_reference(sentences: object, data: st.DataObject):
    chosen = data.draw(st.integers(0, len(sentences) - 1))
    peak, mean = reference(sentences, chosen)
    assert score("selfcheck_ngram", sentences, chosen=chosen).value == pytest.approx(peak)
    assert score("selfcheck_ngram_mean", sentences, chosen=chosen).value == pytest.approx(mean)


def test_ngram_by_hand():
    # Counts: a 3, b 1, c 2 of 6. Sentences of the answer: "a b" and "a".
    sentences = ((("a", "b"), ("a",)), (("a", "c"), ("c",)))
    assert score("selfcheck_ngram", sentences).value == pytest.approx((math.log(6) + math.log(2)) / 2)
    assert score("selfcheck_ngram_mean", sentences).value == pytest.approx((2 * math.log(2) + math.log(6)) / 3)


@given(SENTENCES, st.integers(2, 6))
def test_answers_that_all_say_the_same_are_reliable(sentences: object, n: int):
    for name in ("selfcheck_ngram", "selfcheck_ngram_mean"):
        assert score(name, (sentences,) * n).reliability == pytest.approx(1.0)


@given(ANSWERS)
def test_an_answer_whose_words_no_other_has_is_not(sentences: object):
    alone = tuple(tuple(f"own {word}" for word in sentence) for sentence in sentences[0])
    for name in ("selfcheck_ngram", "selfcheck_ngram_mean"):
        assert score(name, (alone, *sentences[1:])).reliability == pytest.approx(0.0, abs=1e-9)


def test_an_answer_without_words_is_undefined():
    for name in ("selfcheck_ngram", "selfcheck_ngram_mean"):
        assert score(name, ((), (("a",),))).note == f"{name} is undefined for these answers"
        assert score(name, (((),), (("a",),))).value is None
        # And others without words bear nothing out.
        assert score(name, ((("a",),), ())).reliability == 0.0


@pytest.mark.parametrize(("name", "field"), [("selfcheck_nli", "contradiction"), ("selfcheck_prompt", "unsupported")])
def test_what_others_contradict_or_leave_unsupported(name: str, field: str):
    shares = np.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    found = [get_signal(name).score(Evidence(np.eye(3), chosen=i, **{field: shares})) for i in range(3)]
    assert [one.value for one in found] == [0.5, 0.75, 0.0]
    assert [one.reliability for one in found] == [0.5, 0.25, 1.0]
    without = get_signal(name).score(Evidence(np.eye(3)))
    assert without.value is None
    assert "similarity = " in without.note
