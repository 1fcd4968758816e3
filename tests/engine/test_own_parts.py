"""Parts of the user's own that raise or take too long: no query is lost over them, and none is left out of the ledger."""

import threading
import time

import numpy as np
import pytest

from semcascade import Cascade, DeadlineExceededError, ScriptedTransport
from semcascade.signals import Evidence, register_signal
from semcascade.signals.catalog import _SIGNALS
from semcascade.similarity import Similarity, register_similarity
from semcascade.similarity.catalog import _SIMILARITIES
from tests.engine.helpers import AGREE, PRICES, QUESTION, SCATTER, cascade

PRICED = {"ensemble": [{"model": name, **PRICES} for name in "abc"], "target": {"model": "t", **PRICES}}
GO_ON = threading.Event()


def raises(question: str, texts: list[str]) -> np.ndarray:
    raise RuntimeError("out of memory")


def is_not_finite(question: str, texts: list[str]) -> np.ndarray:
    return np.full((len(texts), len(texts)), np.nan)


def waits(question: str, texts: list[str]) -> np.ndarray:
    GO_ON.wait(30)
    return np.ones((len(texts), len(texts)))


class RaisesAtOnce(Similarity):
    """One that is also asked while answers are missing."""

    name, pairwise = "raises_at_once", True

    def compare(self, query, answers):
        raise RuntimeError("out of memory")


def fails(evidence: Evidence) -> float:
    raise ZeroDivisionError("by zero")


@pytest.fixture(scope="module", autouse=True)
def _registered():
    own = {f"own_{function.__name__}": function for function in (raises, is_not_finite, waits)}
    own |= {"own_raises_at_once": RaisesAtOnce}
    for name, similarity in own.items():
        register_similarity(name, similarity)
    register_signal(fails, "own_fails")
    yield
    for name in own:
        _SIMILARITIES.unregister(name)
    _SIGNALS.unregister("own_fails")


@pytest.mark.parametrize("name", ["own_raises", "own_raises_at_once", "own_is_not_finite"])
@pytest.mark.parametrize("settings", [{}, {"early_exit": "off"}, {"speculate": "likely"}], ids=str)
def test_auto_stands_in_for_a_similarity_that_fails(name, settings, caplog):
    c = cascade({**AGREE, "b": "It is Tokyo."}, similarity=name, threshold=0.3, **PRICED, **settings)
    tier = c.complete(QUESTION).decision.tiers[0]
    assert tier.accepted
    assert tier.similarity.endswith(f"in place of {c._plan.scorers[0].similarity.name}")
    assert "could not compare (" in tier.notes[0]
    assert "failed: " in caplog.text
    assert c.ledger.summary().queries == 1


@pytest.mark.parametrize("settings", [{}, {"speculate": "likely"}], ids=str)
def test_a_signal_that_fails_is_undefined_and_defers(settings, caplog):
    decision = cascade(SCATTER, signal="own_fails", **settings).complete(QUESTION).decision
    assert decision.tier == "target"
    assert "ZeroDivisionError: by zero" in decision.reason
    assert "own_fails" in caplog.text


@pytest.mark.parametrize("rule", ["raise", "ensemble"])
def test_no_comparison_outlives_the_deadline(rule):
    GO_ON.clear()
    c, started = cascade(SCATTER, similarity="own_waits", on_target_failure=rule, **PRICED), time.monotonic()
    try:
        if rule == "raise":
            with pytest.raises(DeadlineExceededError) as caught:
                c.complete(QUESTION, deadline=0.3)
            decision = caught.value.decision
        else:
            decision = c.complete(QUESTION, deadline=0.3).decision
            assert (decision.member, decision.fallback) == ("a", True)
        assert time.monotonic() - started < 10
    finally:
        GO_ON.set()
    assert "not compared before the query's deadline" in decision.tiers[0].reason
    assert c.ledger.summary().calls == 3
    assert c.ledger.summary().cost == pytest.approx(sum(one.cost for one in decision.tiers[0].candidates))


class Unpriceable(ScriptedTransport):
    """Cannot say what one member costs."""

    def price(self, member, usage):
        if member.name == "b":
            raise LookupError("no such price")
        return super().price(member, usage)


def test_a_transport_that_fails_where_it_reckons_fails_its_member_alone():
    members = [{"model": name, **PRICES} for name in "abc"]
    with Cascade(
        ensemble=members, target="t", transport=Unpriceable(AGREE, latency_s=0.2), hedge_after=0.05, early_exit="off"
    ) as c:
        tier = c.complete(QUESTION).decision.tiers[0]
    assert [candidate.ok for candidate in tier.candidates] == [True, False, True]
    assert str(tier.candidates[1].failure) == "b: no such price"
    assert tier.candidates[1].cost is None
    assert tier.accepted
