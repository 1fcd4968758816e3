"""Whether a cascade pays for itself, by hand-made numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade import Candidate, Cascade, ScriptedTransport, Usage
from semcascade.decision import Decision, TierRecord
from semcascade.engine.audit import Audit
from semcascade.engine.ledger import Ledger
from semcascade.errors import ServerError
from tests.engine.helpers import QUESTION

TARGET = {"model": "t", "input_cost_per_token": 0.01, "output_cost_per_token": 0.01}


def said(text, cost):
    return Candidate("x", text=text, usage=Usage(90, 10), cost=cost)


def ran(*texts, member_cost, target_cost=1.0, **settings):
    """Return the ledger after one query for each (answer of a, answer of b)."""
    script = {
        "a": [said(one, member_cost) for one, _ in texts],
        "b": [said(other, member_cost) for _, other in texts],
        "t": said("target", target_cost),
    }
    c = Cascade(ensemble=["a", "b"], target=TARGET, transport=ScriptedTransport(script), max_retries=0, **settings)
    for _ in texts:
        c.complete(QUESTION)
    return c.ledger


def test_one_that_pays():
    audit = ran(("1", "1"), ("1", "1"), ("1", "1"), ("1", "2"), member_cost=0.05).audit()
    assert (audit.queries, audit.deferral_rate, audit.pays) == (4, 0.25, True)
    assert audit.cheap_cost == pytest.approx(0.1)
    assert audit.target_cost == pytest.approx(1.0)
    assert audit.spared_cost == pytest.approx(0.75)
    assert audit.savings == pytest.approx(0.65)
    assert audit.break_even_rate == pytest.approx(0.9)
    assert str(audit).splitlines()[0] == (
        "the cascade saves $0.65 a query. Members and scoring cost $0.1 a query, the target alone $1.00; "
        "25% of 4 queries went to it, which spared $0.75 each. It breaks even at a deferral rate of 90%"
    )
    assert str(audit).splitlines()[1:] == ["  a: 4 calls, $0.2", "  b: 4 calls, $0.2", "  t: 1 call, $1.00"]


def test_one_that_loses_says_so_plainly():
    audit = ran(("1", "1"), ("1", "2"), ("1", "2"), ("1", "2"), member_cost=0.2).audit()
    assert audit.savings == pytest.approx(0.25 - 0.4)
    assert audit.pays is False
    assert "the cascade LOSES $0.15 a query: asking the target alone is cheaper" in str(audit)
    assert audit.break_even_rate == pytest.approx(0.6)


def test_members_as_dear_as_the_target_never_pay():
    audit = ran(("1", "1"), member_cost=0.6).audit()
    assert audit.break_even_rate == pytest.approx(-0.2)
    assert "no deferral rate saves" in str(audit)


def test_scoring_is_part_of_it():
    script = {"a": said("1", 0.1), "b": said("2", 0.1), "t": said("3", 1.0), "j": said("nonsense", 0.2)}
    c = Cascade(
        ensemble=["a", "b"],
        target=TARGET,
        similarity={"name": "judge", "member": "j"},
        transport=ScriptedTransport(script),
    )
    c.complete(QUESTION)
    audit = c.ledger.audit()
    assert audit.cheap_cost == pytest.approx(0.1 + 0.1 + 2 * 0.2)
    assert "  scoring: 2 calls, $0.4" in str(audit)


def test_asking_the_target_in_vain_is_no_saving():
    audit = ran(("1", "1"), ("1", "1"), member_cost=0.05, speculate="always").audit()
    assert (audit.cheap_cost, audit.spared_cost) == (pytest.approx(1.1), pytest.approx(1.0))
    assert audit.speculated_cost == pytest.approx(1.0)
    assert audit.break_even_rate == pytest.approx(-0.1)
    assert "LOSES $0.1 a query" in str(audit)
    assert "Members, scoring and speculation cost as much as the target or more: no deferral rate saves" in str(audit)


def test_what_is_not_known_at_all_is_not_told_as_nothing():
    script = {"a": said("1", None), "b": said("1", 0.1)}
    c = Cascade(ensemble=["a", "b"], target=TARGET, transport=ScriptedTransport(script))
    c.complete(QUESTION)
    assert str(c.ledger.summary()) == "1 queries, 0% deferred, 2 calls, unknown cost"
    assert "  a: 1 call, unknown cost\n" in f"{c.ledger.audit()}\n"


def test_queries_of_unknown_cost_are_left_out_and_counted():
    script = {"a": [said("1", 0.1), said("1", None)], "b": said("1", 0.1)}
    c = Cascade(ensemble=["a", "b"], target=TARGET, transport=ScriptedTransport(script))
    c.complete(QUESTION)
    c.complete(QUESTION)
    audit = c.ledger.audit()
    assert (audit.queries, audit.left_out) == (1, 1)
    assert "1 query left out" in str(audit)
    assert "  a: 2 calls, $0.1 and 1 of unknown cost" in str(audit)


def test_who_answers_in_the_targets_place_is_no_cheap_cost():
    down = ServerError("down", member="t")
    script = {"a": said("1", 0.1), "b": said("2", 0.1), "t": down, "u": said("3", 0.5)}
    c = Cascade(ensemble=["a", "b"], target=TARGET, fallback=["u"], transport=ScriptedTransport(script), max_retries=0)
    c.complete(QUESTION)
    audit = c.ledger.audit()
    assert (audit.cheap_cost, audit.target_cost) == (pytest.approx(0.2), pytest.approx(1.0))
    assert audit.spared_cost == pytest.approx(0.5)
    assert "  t: 1 call, 1 failed, $0" in str(audit)


def test_before_the_first_query_there_is_nothing_to_judge_by():
    audit = Ledger().audit()
    assert (audit.savings, audit.pays, audit.break_even_rate, str(audit)) == (None, None, None, "no query to judge by")
    assert Audit(left_out=2, queries=0).to_dict()["pays"] is None


def test_a_free_target_saves_nothing():
    audit = Audit(queries=1, deferral_rate=0.0, cheap_cost=0.1)
    assert audit.break_even_rate is None
    assert "The target is free" in str(audit)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 5)), min_size=1, max_size=20)
)
def test_it_agrees_with_the_summary_and_with_the_formula(queries):
    ledger = Ledger()
    for accepted, member, scoring, target in queries:
        cheap = TierRecord("e", (Candidate("a", cost=member),), accepted, "", scoring_cost=scoring, scoring_calls=1)
        last = TierRecord("t", (Candidate("t", cost=target),), True, "", final=True)
        tiers = (cheap,) if accepted else (cheap, last)
        ledger.add(Decision(tiers, "e" if accepted else "t", "x", accepted, "", always_target_cost=target))
    audit, summary = ledger.audit(), ledger.summary()
    n = len(queries)
    assert audit.savings * n == pytest.approx(summary.savings, abs=1e-9)
    assert audit.cheap_cost * n == pytest.approx(sum(member + scoring for _, member, scoring, _ in queries))
    assert sum(spend.cost for spend in audit.spent) == pytest.approx(summary.cost)
    assert sum(spend.calls for spend in audit.spent) == summary.calls
    same = [target for *_, target in queries]
    if max(same) == min(same):
        assert audit.spared_cost == pytest.approx((1 - audit.deferral_rate) * audit.target_cost, abs=1e-9)
        if abs(audit.savings) > 1e-9:
            assert audit.pays == (audit.deferral_rate < audit.break_even_rate)
