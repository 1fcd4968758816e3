"""Numbers worked out by hand, and the published reductions of one measure to another."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semcascade.signals import Evidence, centrality, get_signal, signals
from semcascade.signals.entropy import snne

LN2 = math.log(2)

# Two answers agree fully, a third is half like the first and a quarter like the second.
THREE = np.array([[1.0, 1.0, 0.5], [1.0, 1.0, 0.25], [0.5, 0.25, 1.0]])


def blocks(*sizes: int) -> np.ndarray:
    matrix = np.zeros((sum(sizes),) * 2)
    start = 0
    for size in sizes:
        matrix[start : start + size, start : start + size] = 1.0
        start += size
    return matrix


def means(*values: float) -> tuple[tuple[float, ...], ...]:
    """Log-probabilities of answers of two tokens with these means."""
    return tuple((mean - 0.5, mean + 0.5) for mean in values)


def value(name: str, matrix: np.ndarray, **more: object) -> float:
    score = get_signal(name).score(Evidence(matrix, **more))
    assert score.value is not None
    return score.value


def test_centrality_leaves_out_the_answer_itself():
    assert centrality(THREE).tolist() == [0.75, 0.625, 0.375]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("agreement", 0.75),
        ("agreement_mean", (1.0 + 0.5 + 0.25) / 3),
        ("majority", 2 / 3),  # {0, 1}, {2}: the pair 1, 2 is below 0.5
        ("num_sets", 2.0),
        ("semantic_entropy", math.log(3) - 2 / 3 * LN2),
        ("deg", 1 - 6.5 / 9),
    ],
)
def test_three_answers(name: str, expected: float):
    assert value(name, THREE) == pytest.approx(expected, abs=1e-12)


def test_agreement_with_the_returned_answer():
    assert value("agreement_primary", THREE, chosen=2) == pytest.approx(0.375)


def test_snne_by_hand():
    e, half, quarter = math.e, math.exp(0.5), math.exp(0.25)
    rows = [e + e + half, e + e + quarter, half + quarter + e]
    assert value("snne", THREE) == pytest.approx(-sum(map(math.log, rows)) / 3, abs=1e-12)


def test_snne_weights_by_likelihood():
    # exp(ln 3) : exp(0) = 3 : 1
    weighted = value("snne_weighted", np.eye(2), logprobs=means(math.log(0.75), math.log(0.25)))
    assert weighted == pytest.approx(-math.log(math.e + 1), abs=1e-12)
    matrix = np.array([[1.0, 0.2, 0.9], [0.2, 1.0, 0.2], [0.9, 0.2, 1.0]])
    rows = [math.log(sum(math.exp(x) for x in row)) for row in matrix]
    weighted = value("snne_weighted", matrix, logprobs=means(math.log(0.5), math.log(0.25), math.log(0.25)))
    assert weighted == pytest.approx(-(rows[0] / 2 + rows[1] / 4 + rows[2] / 4), abs=1e-12)


def test_snne_at_ten_answers_spans_little_and_is_rescaled_to_all_of_it():
    same, scattered = np.ones((10, 10)), np.eye(10)
    assert value("snne", same) == pytest.approx(-3.3026, abs=1e-4)
    assert value("snne", scattered) == pytest.approx(-2.4611, abs=1e-4)
    assert get_signal("snne").score(Evidence(same)).reliability == pytest.approx(1.0)
    assert get_signal("snne").score(Evidence(scattered)).reliability == pytest.approx(0.0)


@pytest.mark.parametrize("sizes", [(1, 1), (3,), (2, 1), (3, 2, 1), (4, 4, 2), (1, 1, 1, 1)])
def test_snne_becomes_discrete_entropy_for_a_constant_inside_clusters(sizes: tuple[int, ...]):
    """With f = c inside clusters and -∞ (here very low) across, SNNE is the discrete entropy, shifted by ln n + c/τ."""
    inside, across = 1.0, -800.0
    matrix = np.where(blocks(*sizes) > 0, inside, across)
    shifted = snne(matrix) + inside + math.log(sum(sizes))
    assert shifted == pytest.approx(value("semantic_entropy", blocks(*sizes)), abs=1e-12)


@pytest.mark.parametrize("sizes", [(1, 1), (3,), (2, 1), (3, 2, 1), (4, 4, 2), (1, 1, 1, 1)])
def test_eigv_and_num_sets_count_the_blocks(sizes: tuple[int, ...]):
    assert value("eigv", blocks(*sizes)) == pytest.approx(len(sizes), abs=1e-9)
    assert value("num_sets", blocks(*sizes)) == len(sizes)


def test_eigv_of_two_answers():
    # Normalised weights have the eigenvalues 1 and (1-s)/(1+s).
    assert value("eigv", np.array([[1.0, 0.25], [0.25, 1.0]])) == pytest.approx(1 + 0.75 / 1.25, abs=1e-12)


def test_ecc_of_equal_and_of_unlike_answers():
    assert value("ecc", np.ones((4, 4))) == pytest.approx(0.0, abs=1e-7)
    # Unlike answers have the unit vectors as coordinates, which lie √(1 - 1/n) from their centre.
    assert value("ecc", np.eye(4)) == pytest.approx(math.sqrt(3), abs=1e-12)
    assert value("ecc", blocks(2, 2)) == pytest.approx(1.0, abs=1e-9)


def test_kernel_entropy_of_two_answers():
    # L = w·[[1, -1], [-1, 1]] has the eigenvalues 0 and 2w; the kernel's normalised off-diagonal is tanh(0.3·w).
    weight = 2 * 0.25
    off = math.tanh(0.3 * weight)
    shares = ((1 + off) / 2, (1 - off) / 2)
    expected = -sum(share * math.log(share) for share in shares)
    assert value("kle", np.array([[1.0, 0.25], [0.25, 1.0]])) == pytest.approx(expected, abs=1e-12)


def test_kernel_entropy_ends():
    for n in (2, 3, 10):
        assert value("kle", np.eye(n)) == pytest.approx(math.log(n))
        assert get_signal("kle").score(Evidence(np.eye(n))).reliability == pytest.approx(0.0, abs=1e-9)
        assert get_signal("kle").score(Evidence(np.ones((n, n)))).reliability == pytest.approx(1.0)


def test_kernel_entropy_takes_entailments_where_there_are_any():
    """An edge weighs 1 for each direction that entails and 0.5 for each that is neutral, whatever the similarity."""
    likely = {"entails": (0.8, 0.1, 0.1), "neutral": (0.1, 0.8, 0.1), "contradicts": (0.1, 0.1, 0.8)}
    for there, back, weight in (
        ("entails", "entails", 2.0), ("entails", "neutral", 1.5), ("neutral", "neutral", 1.0),
        ("contradicts", "neutral", 0.5), ("contradicts", "contradicts", 0.0),
    ):  # fmt: skip
        entailment = np.array([[likely["entails"], likely[there]], [likely[back], likely["entails"]]])
        same_weight = np.array([[1.0, weight / 2], [weight / 2, 1.0]])
        assert value("kle", np.eye(2), entailment=entailment) == pytest.approx(value("kle", same_weight))


def test_entropy_with_equal_likelihoods_is_the_discrete_one():
    for sizes in ((1, 1), (2, 1), (3, 2, 1), (4, 4)):
        weighted = value("semantic_entropy_weighted", blocks(*sizes), logprobs=means(*[-1.25] * sum(sizes)))
        assert weighted == pytest.approx(value("semantic_entropy", blocks(*sizes)), abs=1e-12)


def test_entropy_weighted_by_likelihood():
    # Shares 1/2, 1/4, 1/4; the first two mean the same: H(3/4, 1/4).
    logprobs = means(math.log(0.5), math.log(0.25), math.log(0.25))
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert value("semantic_entropy_weighted", blocks(2, 1), logprobs=logprobs) == pytest.approx(expected, abs=1e-12)


def test_very_low_likelihoods_do_not_underflow():
    assert value("semantic_entropy_weighted", np.eye(2), logprobs=means(-2000.0, -2000.0)) == pytest.approx(LN2)


def test_corrected_entropy_by_hand():
    # Sizes 2 and 1, n = 3: one singleton, so 2·3/(3-1) = 3 meanings, more than EigV's 2; shares 4/9 and 2/9.
    terms = [q * math.log(q) / (1 - (1 - q) ** 3) for q in (4 / 9, 2 / 9)]
    assert value("semantic_entropy_corrected", blocks(2, 1)) == pytest.approx(-sum(terms), abs=1e-12)
    # All singletons: EigV takes over, shares 1/U.
    matrix = np.array([[1.0, 0.25], [0.25, 1.0]])
    q = 1 / 1.6
    assert value("semantic_entropy_corrected", matrix) == pytest.approx(
        -2 * q * math.log(q) / (1 - (1 - q) ** 2), abs=1e-12
    )


ALONE = {"chow_sum", "chow_average", "chow_minimum", "chow_quantile", "combined"}
"""Signals that one answer is enough for."""


def test_one_answer_leaves_every_signal_undefined_that_compares():
    for name, signal in signals().items():
        score = signal.score(Evidence(np.ones((1, 1)), logprobs=((-1.0,),), sentences=((("a",),),)))
        if name in ALONE:
            assert score.reliability == pytest.approx(math.exp(-1)), name
            continue
        assert (score.value, score.reliability) == (None, None), name
        assert "needs 2 answers, got 1" in score.note
        assert "n = 1: undefined" in signal.few
    assert np.isnan(centrality(np.ones((1, 1)))).all()


def test_two_answers_share_one_similarity():
    matrix = np.array([[1.0, 0.7], [0.7, 1.0]])
    assert centrality(matrix).tolist() == [0.7, 0.7]
    for name in ("agreement", "agreement_mean", "agreement_primary"):
        assert value(name, matrix) == pytest.approx(0.7)


def test_missing_likelihoods_leave_weighted_signals_undefined():
    for name in ("semantic_entropy_weighted", "snne_weighted"):
        for logprobs in (None, ((-1.0,), None), ((-1.0,), ())):
            score = get_signal(name).score(Evidence(np.eye(2), logprobs=logprobs))
            assert score.value is None
            assert "undefined" in score.note


def test_given_clusters_and_threshold_are_used():
    assert value("num_sets", THREE, clusters=(0, 0, 0)) == 1.0
    assert value("num_sets", THREE, same_at=0.2) == 1.0
    assert value("num_sets", THREE, same_at=1.0) == 2.0


def test_a_majority_threshold_of_two_thirds_means_two_of_three():
    assert get_signal("majority").score(Evidence(blocks(2, 1))).reliability == pytest.approx(2 / 3)
