"""Every call is charged, and what is unknown stays unknown."""

import pytest

from semcascade import (
    Candidate,
    Cascade,
    ScriptedTransport,
    Usage,
)
from semcascade.errors import ServerError
from tests.engine.helpers import AGREE, PRICES, QUESTION, SCATTER, cascade


def test_every_call_is_charged_and_savings_are_against_always_target():
    member = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    answer = Candidate("x", text="Tokyo", usage=Usage(100, 10))
    script = {"a": answer, "b": answer, "t": answer}
    c = Cascade(
        ensemble=[{"model": "a", **member}, {"model": "b", **member}],
        target={"model": "t", "input_cost_per_token": 1e-5, "output_cost_per_token": 1e-5},
        transport=ScriptedTransport(script),
    )
    decision = c.complete(QUESTION).decision
    assert decision.cost == pytest.approx(220e-6)
    assert decision.always_target_cost == pytest.approx(1100e-6)
    summary = c.ledger.summary()
    assert summary.savings == pytest.approx(880e-6)
    assert summary.cost_ratio == pytest.approx(0.2)
    assert (summary.queries, summary.accepted, summary.deferred, summary.calls) == (1, 1, 0, 2)
    assert "saved" in str(summary)


def test_a_deferred_query_costs_more_than_the_target_alone():
    c = cascade(SCATTER, ensemble=[{"model": name, **PRICES} for name in "abc"], target={"model": "t", **PRICES})
    decision = c.complete(QUESTION).decision
    assert decision.cost > decision.always_target_cost > 0
    assert "LOST" in str(c.ledger.summary())


def test_an_unknown_price_is_unknown():
    c = cascade(AGREE, ensemble=["a", {"model": "b", **PRICES}, "c"], target={"model": "t", **PRICES})
    decision = c.complete(QUESTION).decision
    assert decision.cost is None
    assert c.ledger.summary().unpriced_queries == 1
    assert c.ledger.summary().savings is None


def test_failed_attempts_are_in_the_cost():
    paid = Candidate("x", text="Tokyo", cost=0.5)
    script = {"a": paid, "b": [ServerError("down", member="b"), paid], "t": "no"}
    c = Cascade(ensemble=["a", "b"], target="t", transport=ScriptedTransport(script), max_retries=1)
    assert c.complete(QUESTION).decision.cost == 1.0
