import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.deferral.selection import choose, effective_signal, outvoted_by, priority_order


def pick(selection, centrality, *, order=None, usable=None, second=None, definite=(), backing=0):
    n = len(centrality)
    return choose(
        selection,
        np.array(centrality),
        order=order or list(range(n)),
        usable=usable or [True] * n,
        margin=lambda index: outvoted_by(n, definite=index in definite, backers=backing),
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


def shares(*votes):
    """Centralities of answers that are equal or not at all alike: how many of the others say the same."""
    return [(votes.count(vote) - 1) / (len(votes) - 1) for vote in votes]


@pytest.mark.parametrize(
    ("votes", "definite", "free"),
    [
        ("abb", 1, 1),
        ("abc", 0, 0),
        ("abbc", 1, 0),
        ("aabb", 0, 0),
        ("abcd", 0, 0),
        ("abbcd", 1, 0),
        ("aabbc", 0, 0),
        ("abbbc", 1, 1),
        ("aabbb", 2, 0),
        ("abbcdefghi", 1, 0),
        ("aaaabbbbbc", 4, 0),
    ],
)
def test_most_votes_win_where_the_primary_is_definite_and_a_clear_lead_elsewhere(votes, definite, free):
    centrality = shares(*votes)
    assert pick("auto", centrality, definite={0}, backing=votes.count("a") - 1).index == definite
    assert pick("auto", centrality).index == free
    # What the others are does not matter.
    assert pick("auto", centrality, definite=range(1, len(votes))).index == free


def test_an_answer_that_half_of_the_others_give_too_is_outvoted_by_a_clear_lead_only():
    assert pick("auto", [0.5, 0.8, 0.6, 0.6, 0.6], definite={0}, backing=1).index == 1
    assert pick("auto", [0.5, 0.8, 0.6, 0.6, 0.6], definite={0}, backing=2).index == 0
    assert pick("auto", [0.5, 0.95, 0.6, 0.6, 0.6], definite={0}, backing=2).index == 1


def test_less_than_most_of_a_vote_outvotes_no_definite_answer():
    assert pick("auto", [0.5, 0.5 + 0.79 / 4, 0.2, 0.2, 0.2], definite={0}).index == 0
    assert pick("auto", [0.5, 0.5 + 0.81 / 4, 0.2, 0.2, 0.2], definite={0}).index == 1


@given(st.integers(1, 40))
def test_definite_answers_are_never_harder_to_outvote_than_free_text(n):
    assert 0 < outvoted_by(n, definite=True) <= outvoted_by(n, definite=False)


def test_whether_an_answer_is_definite_is_asked_where_it_matters_only():
    def never(index):
        raise AssertionError("it was asked")

    for centrality, index in (([0.0, 0.5, 0.5], 1), ([0.3, 0.5, 0.6], 0), ([0.9, 0.1, 0.1, 0.1, 0.1], 0)):
        n = len(centrality)
        choice = choose("auto", np.array(centrality), order=range(n), usable=[True] * n, margin=never)
        assert choice.index == index


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
