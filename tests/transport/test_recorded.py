import pytest

from semcascade import Candidate, Cascade, CascadeError, RecordedTransport
from semcascade.errors import MalformedReplyError, ModelNotFoundError, ServerError
from semcascade.transport.recorded import conversation_key

PROMPT = ({"role": "user", "content": "2+2?"},)


def recorded(**answers):
    return RecordedTransport({conversation_key(PROMPT): answers})


def test_recorded_answers_run_through_the_same_engine():
    transport = recorded(
        a=Candidate("a", "4", latency_s=0.7, cost=0.1), b=Candidate("b", "4", cost=0.1), t=Candidate("t", "5")
    )
    result = Cascade(ensemble=["a", "b"], target="t", transport=transport).complete("2+2?")
    assert result.text == "4"
    assert result.decision.tiers[0].candidates[0].latency_s == 0.7
    assert result.decision.cost == pytest.approx(0.2)


def test_recorded_failures_stay_failures():
    down = ServerError("down", member="b")
    transport = recorded(a=Candidate("a", "4"), b=Candidate("b", failure=down), t=Candidate("t", "5"))
    result = Cascade(ensemble=["a", "b"], target="t", transport=transport, max_retries=0).complete("2+2?")
    assert result.text == "5"
    assert result.decision.tiers[0].candidates[1].failure is down


@pytest.mark.parametrize(("question", "error"), [("3+3?", MalformedReplyError), ("2+2?", ModelNotFoundError)])
def test_what_was_not_recorded_is_said(question, error):
    transport = recorded(a=Candidate("a", "4"), b=Candidate("b", "5"))
    with pytest.raises(CascadeError) as caught:
        Cascade(ensemble=["a", "b"], target="t", transport=transport, max_retries=0).complete(question)
    assert isinstance(caught.value.failures[-1], error)


def test_the_key_depends_on_content_alone():
    assert conversation_key(PROMPT) == conversation_key(({"content": "2+2?", "role": "user"},))
    assert conversation_key(PROMPT) != conversation_key(({"role": "user", "content": "2+2"},))


def test_an_id_of_the_callers_own_wins():
    transport = RecordedTransport({"row-7": {name: Candidate(name, "7") for name in "abt"}})
    assert Cascade(ensemble=["a", "b"], target="t", transport=transport).complete("?", recorded_id="row-7").text == "7"


async def test_streams_are_replayed():
    transport = recorded(a=Candidate("a", "1"), b=Candidate("b", "2"), t=Candidate("t", "3"))
    items = [item async for item in Cascade(ensemble=["a", "b"], target="t", transport=transport).astream("2+2?")]
    assert [item.text for item in items] == ["3", "3"]
