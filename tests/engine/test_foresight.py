"""What is foreseen comes true: whatever the missing answers turn out to be, the decision is the same."""

import asyncio
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from semcascade import Candidate
from semcascade.config import CascadeConfig
from semcascade.engine.foresight import can_foresee, foresee
from semcascade.engine.scoring import TierScorer
from semcascade.similarity import Comparison, Query, Similarity, get_similarity

FORESEEABLE = [
    "agreement", "agreement_mean", "agreement_primary", "majority", "num_sets", "semantic_entropy", "snne", "deg",
    "chow_sum", "chow_average", "chow_minimum", "cocoa", "cocoa_average",
]  # fmt: skip
WAITING = ["eigv", "ecc", "kle", "semantic_entropy_corrected", "snne_weighted", "selfcheck_ngram", "combined"]
QUERY = Query("How much is it?")
WORDS = [
    "[1, 2]",
    "(1, 2)",
    "1, 2",
    "1,200",
    "1200",
    "12",
    "12 kg",
    "12 m",
    "12.0",
    "50%",
    "1/2",
    "50",
    "Paris",
    "paris.",
    "It is Paris",
    "3 pm",
    "3",
    "15:00",
    "3 30 p.m.",
    "3:30 PM",
    "15:30",
    "",
    "I don't know.",
]
VALUES = st.sampled_from([0.0, 0.0, 0.3, 0.5, 0.59, 0.6, 0.61, 1.0, 1.0])


class Table(Similarity):
    """Likeness by the number that is an answer's text: any values, as no rule binds what a similarity finds."""

    name = "table"
    pairwise = True

    def __init__(self, matrix, finer=None):
        self.values, self.finer = matrix, finer

    def compare(self, query, answers):
        at = [int(re.search("[0-9]", answer.text).group()) for answer in answers]
        finer = None if self.finer is None else self.finer[np.ix_(at, at)]
        return Comparison(self.values[np.ix_(at, at)], self.name, tiebreak=finer)


@pytest.fixture(autouse=True)
def _without_threads(monkeypatch):
    async def here(function, *args):
        return function(*args)

    monkeypatch.setattr(asyncio, "to_thread", here)


def at_once(work):
    """Run what awaits nothing that takes time."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


def symmetric(values, n):
    matrix = np.eye(n)
    matrix[np.triu_indices(n, 1)] = values
    return np.maximum(matrix, matrix.T)


def final(scorer, slots, query=QUERY):
    """Decide on all answers, as a tier does; return whether it is accepted and which answer is chosen."""
    places = [index for index, (_, answer) in enumerate(slots) if answer is not None]
    answers = [slots[index][1] for index in places]
    if len(answers) < scorer.quorum:
        return False, None
    scored = at_once(scorer.score(query, answers, places))
    return scored.verdict.accept, places[scored.choice.index]


def check(scorer, members, outcomes, order, query=QUERY):
    """Let the outcomes come in this order; whatever is foreseen on the way must be so in the end."""
    slots = list(zip(members, outcomes, strict=True))
    accept, chosen = final(scorer, slots, query)
    for arrived in range(scorer.quorum, len(slots)):
        here = set(order[:arrived])
        known = [
            (member, answer if index in here else None)
            for index, (member, answer) in enumerate(slots)
            if index not in here or answer is not None
        ]
        places = [index for index in range(len(slots)) if index in here and outcomes[index] is not None]
        if len(places) < scorer.quorum:
            continue
        foreseen = at_once(foresee(scorer, query, known))
        assert foreseen.accept in (None, accept)
        # A tier that is not scored has no chosen answer of that kind.
        if foreseen.choice is not None and chosen is not None:
            assert places[foreseen.choice] == chosen


def scorer_of(n, similarity="auto", *, priorities=None, **given):
    members = [{"model": f"m{i}", "priority": 0 if priorities is None else priorities[i]} for i in range(n)]
    config = CascadeConfig.build(ensemble=members, target="t", **given)
    scorer = TierScorer(config.tiers[0], config)
    scorer.similarity = get_similarity(similarity)
    return scorer, config.tiers[0].members


@st.composite
def settings_and_order(draw, n):
    given = {
        "signal": draw(st.sampled_from(FORESEEABLE)),
        "selection": draw(st.sampled_from(["auto", "central", "primary"])),
        "threshold": draw(st.sampled_from([0.25, 0.4, 0.5, 0.6, 0.75, 1.0])),
        "quorum": draw(st.sampled_from([1, 2, 3])),
    }
    priorities = draw(st.lists(st.sampled_from([0, 0, 1]), min_size=n, max_size=n))
    return given, priorities, draw(st.permutations(range(n)))


def candidate(index, text, logprobs):
    return Candidate(f"m{index}", text=text, finish_reason="stop", logprobs=logprobs)


@st.composite
def tables(draw):
    n = draw(st.integers(3, 6))
    pairs = n * (n - 1) // 2
    matrix = symmetric(draw(st.lists(VALUES, min_size=pairs, max_size=pairs)), n)
    finer = symmetric(draw(st.lists(VALUES, min_size=pairs, max_size=pairs)), n) if draw(st.booleans()) else None
    says = draw(st.lists(st.sampled_from(["says", "says", "says", "nothing", "fails"]), min_size=n, max_size=n))
    # Numbers are definite, where fewer votes outvote the primary's answer; what rambles on is free text.
    form = [draw(st.sampled_from(["{}", "it is {} all in all, as far as anybody can tell"])) for _ in range(n)]
    # Two members may use the same words: then they are as alike to all others.
    at = draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n)) if draw(st.booleans()) else list(range(n))
    sure = draw(st.lists(st.sampled_from([None, (-0.1,), (-0.9, -0.2)]), min_size=n, max_size=n))
    outcomes = [
        None if what == "fails" else candidate(i, form[at[i]].format(at[i]) if what == "says" else "", sure[i])
        for i, what in enumerate(says)
    ]
    return Table(matrix, finer), outcomes, *draw(settings_and_order(n))


def near_outvoted(form):
    """Three like each other, half as like the primary's, and a last one like none: a lead of 0.25 among five."""
    matrix = np.array([[1, 0.5, 0.5, 0.5, 0], [0.5, 1, 1, 1, 0], [0.5, 1, 1, 1, 0], [0.5, 1, 1, 1, 0], [0, 0, 0, 0, 1]])
    said = [candidate(i, form.format(i), None) for i in range(5)]
    given_settings = {"signal": "agreement", "selection": "auto", "threshold": 0.4, "quorum": 2}
    return Table(matrix), said, given_settings, [0] * 5, list(range(5))


@given(tables())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(near_outvoted("it is {} all in all, as far as anybody can tell"))
@example(near_outvoted("{}"))
def test_whatever_similarities_may_be_what_is_foreseen_comes_true(case):
    similarity, outcomes, given_settings, priorities, order = case
    scorer, members = scorer_of(len(outcomes), similarity, priorities=priorities, **given_settings)
    check(scorer, members, outcomes, order)


@given(tables())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_that_resemble_others_and_cannot_be_chosen_are_reckoned_with(case):
    """JSON was asked for; who says an odd number does not give it."""
    similarity, outcomes, given_settings, priorities, order = case
    scorer, members = scorer_of(len(outcomes), similarity, priorities=priorities, **given_settings)
    outcomes = [
        one
        if one is None or not one.text or int(re.search("[0-9]", one.text).group()) % 2
        else replace(one, text=f'{{"{one.text}": 1}}')
        for one in outcomes
    ]
    check(scorer, members, outcomes, order, Query("?", response_format={"type": "json_object"}))


@st.composite
def sayings(draw):
    n = draw(st.integers(3, 6))
    texts = draw(st.lists(st.sampled_from([*WORDS, None]), min_size=n, max_size=n))
    outcomes = [None if text is None else candidate(i, text, None) for i, text in enumerate(texts)]
    name = draw(st.sampled_from(["exact", "exact", "exact", "auto", "chrf", "rouge_l", "token_f1", "json", "code"]))
    return name, outcomes, *draw(settings_and_order(n))


@given(sayings())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(("exact", [candidate(i, t, None) for i, t in enumerate(["12 kg", "12 m", "12", "12"])],
          {"signal": "agreement", "selection": "central", "threshold": 0.6}, [0] * 4, [0, 1, 2, 3]))  # fmt: skip
@example(("exact", [candidate(i, t, None) for i, t in enumerate(["50", "1/2", "50%"])],
          {"signal": "agreement", "selection": "auto", "threshold": 0.6}, [0] * 3, [0, 1, 2]))  # fmt: skip
def test_whatever_is_said_what_is_foreseen_comes_true(case):
    name, outcomes, given_settings, priorities, order = case
    scorer, members = scorer_of(len(outcomes), name, priorities=priorities, **given_settings)
    check(scorer, members, outcomes, order)


def foreseen(texts, missing, similarity="exact", **given):
    """What is foreseen when the first members have said these texts."""
    scorer, members = scorer_of(len(texts) + missing, similarity, **given)
    said = [candidate(i, text, None) for i, text in enumerate(texts)] + [None] * missing
    return at_once(foresee(scorer, QUERY, list(zip(members, said, strict=True))))


@pytest.mark.parametrize(
    ("texts", "missing", "given_settings", "accept"),
    [
        (["Paris", "Rome"], 1, {}, False),  # at most one of the two agrees with a third: 1/2 < 0.6
        (["Paris", "Paris"], 1, {"threshold": 0.5}, True),
        (["Paris", "Paris"], 1, {}, None),  # the third may differ: 1/2, or agree: 1
        (["Paris"] * 4, 1, {}, True),
        (["Paris", "Paris", "Rome"], 2, {}, None),
        (["Paris", "Rome", "Oslo"], 2, {"threshold": 0.75}, False),
        (["12 kg", "12 m"], 1, {}, None),  # "12" would agree with both
        (["Paris", "Rome"], 1, {"signal": "majority", "threshold": 1.0}, False),
        (["Paris", "Rome"], 1, {"signal": "semantic_entropy"}, False),
        (["Paris", "Rome"], 1, {"similarity": "chrf", "selection": "primary"}, False),
        (["Paris", "Rome"], 1, {"similarity": "chrf"}, None),  # a third may resemble both
    ],
)
def test_what_is_settled_early_and_what_is_not(texts, missing, given_settings, accept):
    assert foreseen(texts, missing, **given_settings).accept is accept


@pytest.mark.parametrize(("form", "accept"), [("{}", True), ("it is {} all in all, as far as anybody can tell", None)])
def test_fewer_votes_settle_what_is_definite(form, accept):
    similarity, said, given_settings, *_ = near_outvoted(form)
    scorer, members = scorer_of(5, similarity, **given_settings)
    slots = list(zip(members, [*said[:4], None], strict=True))
    assert at_once(foresee(scorer, QUERY, slots)).accept is accept
    assert final(scorer, list(zip(members, said, strict=True)))[0] is bool(accept)


def test_an_answer_is_sure_where_no_other_can_take_its_place():
    assert foreseen(["Paris"] * 4, 1).choice == 0
    assert foreseen(["Paris", "Rome", "Paris", "Paris"], 1, selection="central").choice == 0
    # The missing member comes first by priority, so its answer would be returned.
    assert foreseen(["Paris"] * 4, 1, priorities=[0, 0, 0, 0, 1]).choice is None


@pytest.mark.parametrize("signal", WAITING)
def test_signals_without_bounds_wait(signal):
    assert not can_foresee(scorer_of(3, signal=signal)[0])


def test_rules_that_remember_and_similarities_that_are_dear_wait():
    assert not can_foresee(scorer_of(3, escalation_rate=0.2)[0])
    assert not can_foresee(scorer_of(3, "bleu")[0])
    assert can_foresee(scorer_of(3)[0])


def test_a_tie_that_a_finer_similarity_breaks_is_open_until_all_are_there():
    finer = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 1.0], [0.0, 1.0, 1.0]])
    similarity = Table(np.ones((3, 3)), finer)
    scorer, members = scorer_of(3, similarity, selection="central", threshold=0.5)
    said = [candidate(i, f"answer {i}", None) for i in range(3)]
    before = at_once(foresee(scorer, QUERY, list(zip(members, [*said[:2], None], strict=True))))
    assert before.accept
    assert before.choice is None
    assert final(scorer, list(zip(members, said, strict=True))) == (True, 1)
