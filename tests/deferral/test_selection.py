import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.deferral.selection import choose, effective_signal, priority_order


def pick(selection, centrality, *, order=None, usable=None, second=None):
    n = len(centrality)
    return choose(
        selection,
        np.array(centrality),
        order=order or list(range(n)),
        usable=usable or [True] * n,
        second=None if second is None else np.array(second),
    )


def test_central_answer_wins():
    assert pick("central", [0.2, 0.9, 0.4]).index == 1


def test_ties_go_to_the_second_similarity_then_to_priority():
    assert pick("central", [0.5, 0.5, 0.0], second=[0.1, 0.2, 0.9]).index == 1
    assert pick("central", [0.5, 0.5, 0.0], order=[2, 1, 0]).index == 1
    assert pick("central", [0.5, 0.5, 0.0]).index == 0


def test_primary_answers_unless_it_says_nothing():
    assert pick("primary", [0.1, 0.9, 0.9]).index == 0
    assert pick("primary", [0.0, 0.9, 0.9], usable=[False, True, True]).index == 1
    assert pick("primary", [0.0, 0.0], usable=[False, False]).index == 0


@pytest.mark.parametrize(
    ("centrality", "index", "selection"),
    [
        ([0.0, 0.5, 0.5], 1, "central"),
        ([0.3, 0.5, 0.6], 0, "primary"),
        ([0.5, 0.5, 0.0], 0, "central"),
        ([0.9, 0.2, 0.4], 0, "central"),
        ([0.7, 0.7], 0, "central"),
        ([0.0, 0.0], 0, "central"),
    ],
)
def test_auto_stays_with_the_primary_unless_it_is_outvoted(centrality, index, selection):
    choice = pick("auto", centrality)
    assert (choice.index, choice.selection) == (index, selection)


def test_auto_leaves_a_primary_that_says_nothing():
    assert pick("auto", [0.0, 0.1, 0.2], usable=[False, True, True]).index == 1


def test_an_answer_that_says_nothing_is_never_central():
    assert pick("central", [1.0, 0.5, 0.4], usable=[False, True, True]).index == 1


def test_agreement_with_the_primary_decides_where_the_primary_answers():
    assert effective_signal("agreement", pick("primary", [0.1, 0.9])) == "agreement_primary"
    assert effective_signal("agreement", pick("central", [0.1, 0.9])) == "agreement"
    assert effective_signal("eigv", pick("primary", [0.1, 0.9])) == "eigv"


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_priority_order_is_stable(priorities):
    order = priority_order(priorities)
    assert sorted(order) == list(range(len(priorities)))
    assert [priorities[i] for i in order] == sorted(priorities, reverse=True)
    assert all(a < b for a, b in itertools.pairwise(order) if priorities[a] == priorities[b])


@given(st.permutations(range(5)), st.lists(st.floats(0, 1), min_size=5, max_size=5, unique=True))
def test_permuting_answers_permutes_the_choice(permutation, centrality):
    before = pick("central", centrality).index
    after = pick("central", [centrality[i] for i in permutation]).index
    if sorted(centrality)[-1] - sorted(centrality)[-2] > 1e-8:
        assert permutation[after] == before
