"""Parts of the user's own that raise or take too long: no query is lost over them, and none is left out of the ledger."""

import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from semcascade import Candidate, Cascade, CascadeError, DeadlineExceededError, ScriptedTransport
from semcascade.engine.loop import EngineLoop
from semcascade.signals import Evidence, register_signal
from semcascade.signals.catalog import _SIGNALS
from semcascade.similarity import Similarity, register_similarity
from semcascade.similarity.catalog import _SIMILARITIES
from tests.engine.helpers import AGREE, PRICES, QUESTION, SCATTER, Never, cascade

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


def ends(question: str, texts: list[str]) -> np.ndarray:
    raise SystemExit(3)


def fails(evidence: Evidence) -> float:
    raise ZeroDivisionError("by zero")


@pytest.fixture(scope="module", autouse=True)
def _registered():
    own = {f"own_{function.__name__}": function for function in (raises, is_not_finite, waits, ends)}
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


class Odd(ScriptedTransport):
    """Answers with what is no answer."""

    def __init__(self, script, said):
        super().__init__(script)
        self.said = said

    async def complete(self, member, request, *, timeout, sample=0):
        return self.said

    async def stream(self, member, request, *, timeout):
        yield self.said


@pytest.mark.parametrize(
    "said",
    [None, "text", Candidate("b", text=None), Candidate("b", "x", cost=math.nan), Candidate("b", "x", cost=-1.0)],
    ids=str,
)
def test_what_is_no_answer_of_a_transport_is_its_members_failure(said):
    ensemble = ["a", {"model": "b", "transport": "odd"}, "c"]
    tier = cascade(AGREE, ensemble=ensemble, transports={"odd": Odd({}, said)}).complete(QUESTION).decision.tiers[0]
    assert [candidate.ok for candidate in tier.candidates] == [True, False, True]
    assert "its transport answered with a" in str(tier.candidates[1].failure)


def test_what_is_no_piece_of_a_stream_is_told():
    c = cascade(SCATTER, target={"model": "t", "transport": "odd"}, transports={"odd": Odd({}, "text")})
    with pytest.raises(CascadeError, match="a piece that is a str, not a Delta"):
        list(c.stream(QUESTION))


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt])
def test_a_member_that_ends_the_program_fails_alone(leave):
    def ends(request):
        raise leave(3)

    tier = cascade({**AGREE, "b": ends}).complete(QUESTION).decision.tiers[0]
    assert [candidate.ok for candidate in tier.candidates] == [True, False, True]
    assert str(tier.candidates[1].failure) == f"b: its transport raised {leave.__name__}"


def test_a_similarity_that_ends_the_program_ends_its_own_query_alone():
    loop, waiting = EngineLoop.shared(), Never()
    others = cascade(AGREE, target={"model": "t", "transport": "never"}, transports={"never": waiting})
    with ThreadPoolExecutor() as pool:
        other = pool.submit(others.complete, QUESTION, member="t", deadline=3)
        assert waiting.started.wait(10)
        c = cascade(SCATTER, similarity="own_ends", **PRICED)
        with pytest.raises(SystemExit):
            c.complete(QUESTION)
        assert EngineLoop.shared() is loop
        assert cascade(AGREE).complete(QUESTION).text == "Tokyo"
        with pytest.raises(DeadlineExceededError):  # it is still heard of, as the loop goes on
            other.result(20)
    assert c.ledger.summary().calls == 3


@pytest.mark.parametrize("ask", ["complete", "stream"])
def test_a_request_that_is_cancelled_on_its_way_is_a_failure(ask):
    class Cancelled(ScriptedTransport):
        async def complete(self, member, request, *, timeout, sample=0):
            raise asyncio.CancelledError

    members = ["a", {"model": "b", "transport": "x"}, "c"]
    c = cascade(
        {**SCATTER, "f": "It is Tokyo."}, ensemble=members, target={"model": "t", "transport": "x"}, fallback=["f"],
        transports={"x": Cancelled({})},
    )  # fmt: skip
    decision = (c.complete(QUESTION) if ask == "complete" else [*c.stream(QUESTION)][-1]).decision
    assert (decision.member, decision.fallback) == ("f", True)
    assert [candidate.ok for candidate in decision.tiers[0].candidates] == [True, False, True]
    assert "cancelled on the way" in str(decision.tiers[0].candidates[1].failure)
