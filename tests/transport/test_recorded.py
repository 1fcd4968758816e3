import time

import pytest

from semcascade import Candidate, Cascade, CascadeError, RecordedTransport
from semcascade.errors import InputError, MalformedReplyError, ModelNotFoundError, ServerError
from semcascade.run_form import json_line
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


def test_a_recorded_failure_is_not_asked_for_again():
    down = ServerError("down", member="b")
    failed = Candidate("b", failure=down, cost=0.25, attempts=3, latency_s=9.0)
    transport = recorded(a=Candidate("a", "4"), b=failed, t=Candidate("t", "5"))
    started = time.monotonic()
    candidate = (
        Cascade(ensemble=["a", "b"], target="t", transport=transport).complete("2+2?").decision.tiers[0].candidates[1]
    )
    assert time.monotonic() - started < 0.5, "the first pause before another attempt"
    assert (candidate.failure, candidate.cost, candidate.attempts, candidate.latency_s) == (down, 0.25, 3, 9.0)


def test_samples_are_replayed_one_by_one():
    transport = recorded(a=[Candidate("a", "4"), Candidate("a", "5")], t=Candidate("t", "6"))
    config = {"ensemble": [{"model": "a", "samples": 3}], "target": "t"}
    found = Cascade(config, transport=transport).complete("2+2?").decision.tiers[0].candidates
    assert [candidate.text for candidate in found] == ["4", "5", ""]
    assert "2 answers were recorded, sample 3 was not" in str(found[2].failure)


def run_file(tmp_path, *rows):
    path = tmp_path / "run.jsonl"
    header = {"semcascade_run": 1, "members": {}, "tiers": [["a", "b"], ["t"]], "target": "t"}
    path.write_bytes(b"".join(json_line(line) for line in (header, *rows)))
    return path


def row(row_id, question, **texts):
    messages = [{"role": "user", "content": question}]
    return {"id": row_id, "messages": messages, "answers": {name: {"text": text} for name, text in texts.items()}}


def test_a_run_is_replayed_by_content_and_by_id(tmp_path):
    path = run_file(tmp_path, row("1", "2+2?", a="4", b="4", t="x"), row("2", "2+2?", a="5", b="6", t="7"))
    cascade = Cascade(ensemble=["a", "b"], target="t", transport=RecordedTransport.from_run(path))
    assert cascade.complete("2+2?").text == "4"
    assert cascade.complete("2+2?", recorded_id="2").text == "7"


def test_a_members_own_messages_do_not_hide_the_conversation(tmp_path):
    shots = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    path = run_file(tmp_path, row("1", "2+2?", a="4", b="4", t="5"))
    members = [{"model": "a", "preamble": shots}, "b"]
    cascade = Cascade(ensemble=members, target="t", transport=RecordedTransport.from_run(path))
    assert cascade.complete("2+2?").text == "4"


def test_what_is_no_run_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "1", "input": "2+2?", "outputs": {}}\n')
    with pytest.raises(InputError, match=r"rows.jsonl:1.*not a row of a run"):
        RecordedTransport.from_run(path)
