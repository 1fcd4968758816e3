"""What is remembered of a replay: nothing but what a replay would come to again."""

import dataclasses

import pytest

from semcascade import Candidate
from semcascade.config import CascadeConfig
from semcascade.errors import MemberTimeoutError
from semcascade.evaluation import Row, evaluate
from semcascade.evaluation.outcomes import Outcomes
from semcascade.evaluation.replay import Replayer
from semcascade.memory import Memory
from semcascade.messages import ToolCall, Usage
from semcascade.signals import register_signal
from semcascade.signals.catalog import _SIGNALS
from semcascade.similarity import register_similarity
from semcascade.similarity.catalog import _SIMILARITIES

QUESTION = ({"role": "user", "content": "Which city?"},)
SCORES = {"a": 1.0, "b": 0.0, "t": 1.0}
SAID = {"a": "Paris", "b": "Paris", "t": "Paris it is"}
TIERS = [{"members": ["a", "b"]}, {"members": ["a", "b"]}, {"members": ["t"]}]


def row(index=0, **changes):
    answers = {name: Candidate(name, text) for name, text in SAID.items()}
    given = {"id": str(index), "task": "", "messages": QUESTION, "tools": (), "answers": answers, "scores": SCORES}
    return Row(**{**given, **changes})


def rows():
    for index in range(8):
        said = {**SAID, "b": SAID["b"] if index % 2 else f"Lyon {index}"}
        yield row(index, answers={name: Candidate(name, text) for name, text in said.items()})


def answered_by_a(**changes):
    answers = {name: Candidate(name, text) for name, text in SAID.items()}
    return row(answers={**answers, "a": dataclasses.replace(answers["a"], **changes)})


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """A memory that knows nothing yet."""
    found = Memory(tmp_path / "known.sqlite")
    monkeypatch.setattr("semcascade.memory._memory_at", lambda path: found if path else Memory(None))
    yield found
    found.flush()


@pytest.fixture
def replayed(monkeypatch):
    """The ids of rows that were replayed."""
    seen, decide = [], Replayer.decide

    def watched(self, some):
        seen.extend(one.id for one in some)
        return decide(self, some)

    monkeypatch.setattr(Replayer, "decide", watched)
    return seen


@pytest.mark.parametrize("settings", [{"ensemble": ["a", "b"], "target": "t"}, {"tiers": TIERS}], ids=["two", "three"])
async def test_a_second_evaluation_replays_nothing_and_finds_the_same(replayed, settings):
    first = await evaluate(rows(), **settings)
    assert set(replayed) == {str(index) for index in range(8)}
    replayed.clear()
    assert await evaluate(rows(), **settings) == first
    assert replayed == []


async def test_it_finds_the_same_as_without_a_memory(monkeypatch):
    found = [await evaluate(rows(), ["a", "b"], "t") for _ in range(2)]
    monkeypatch.setenv("SEMCASCADE_MEMORY", "off")
    assert [await evaluate(rows(), ["a", "b"], "t")] * 2 == found


async def test_only_what_is_new_is_replayed_and_the_order_stays(replayed):
    some = list(rows())
    await evaluate([*some[:3], *some[5:]], ["a", "b"], "t")
    replayed.clear()
    config = CascadeConfig.build(ensemble=["a", "b"], target="t")
    found = [(one.id, outcome.answered) async for one, outcome in Outcomes(config).of(some)]
    assert found == [(str(index), 1 - index % 2) for index in range(8)]
    assert replayed == ["4"], "what 3 says was known from 1"


OTHERS = {
    "member": "c",
    "text": "Rome",
    "tool_calls": (ToolCall("look", "{}"),),
    "reasoning": "hm",
    "finish_reason": "length",
    "usage": Usage(1, 2),
    "cost": 0.5,
    "latency_s": 1.0,
    "logprobs": (-0.5,),
    "tokens": ({"token": "x"},),
    "model": "other",
    "attempts": 2,
    "shares_prompt": True,
    "failure": MemberTimeoutError("too slow", member="a"),
    "estimated_cost": 0.25,
}


def test_every_field_of_an_answer_is_part_of_what_is_known_of_it():
    assert set(OTHERS) == {field.name for field in dataclasses.fields(Candidate)}, "a new field: give it a value here"
    outcomes = Outcomes(CascadeConfig.build(ensemble=["a", "b"], target="t"))
    keys = {outcomes._key(answered_by_a(**{name: value})) for name, value in OTHERS.items()}
    assert len(keys | {outcomes._key(row())}) == len(OTHERS) + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": ({"role": "user", "content": "Which town?"},)},
        {"tools": ({"type": "function", "function": {"name": "look"}},)},
        {"response_format": {"type": "json_object"}},
        {"samples": {"a": (Candidate("a", "Paris"), Candidate("a", "Rome"))}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_part_of_a_question_is_too(changes):
    outcomes = Outcomes(CascadeConfig.build(ensemble=["a", "b"], target="t"))
    assert outcomes._key(row()) is not None
    assert outcomes._key(row(**changes)) != outcomes._key(row())


def test_other_cascades_know_nothing_of_it():
    policy = {
        "semcascade_policy": 1,
        "target": "t",
        "tiers": [{"members": ["a", "b"], "signal": "agreement", "threshold": 0.5}],
    }
    stricter = {**policy, "tiers": [{**policy["tiers"][0], "threshold": 0.6}]}
    settings = [
        {}, {"threshold": 0.3}, {"signal": "eigv"}, {"similarity": "chrf"}, {"selection": "central"}, {"quorum": 1},
        {"policy": policy}, {"policy": stricter},
    ]  # fmt: skip
    cascades = [CascadeConfig.build(ensemble=["a", "b"], target="t", **setting) for setting in settings]
    cascades.append(CascadeConfig.build(ensemble=["b", "a"], target="t"))
    keys = [Outcomes(config)._key(row()) for config in cascades]
    assert None not in keys
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "settings",
    [
        {"escalation_rate": 0.3},
        {"signal": "own_of_outcomes"},
        {"similarity": "own_of_outcomes"},
        {"similarity": "bleu"},
        {"similarity": {"name": "embedding", "model": "./mine"}},
        {"similarity": {"name": "judge", "member": "openai/x"}},
    ],
    ids=str,
)
def test_what_may_come_to_something_else_tomorrow_is_not_kept(settings):
    register_signal(_own_signal, "own_of_outcomes")
    register_similarity("own_of_outcomes", _own_similarity)
    try:
        config = CascadeConfig.build(ensemble=["a", "b"], target="t", **settings)
        assert Outcomes(config)._key(row()) is None
    finally:
        _SIGNALS.unregister("own_of_outcomes")
        _SIMILARITIES.unregister("own_of_outcomes")


def _own_signal(matrix):
    return 0.5


def _own_similarity(question, answers):
    return [[1.0] * len(answers)] * len(answers)


def test_what_has_no_lasting_content_is_not_kept():
    outcomes = Outcomes(CascadeConfig.build(ensemble=["a", "b"], target="t"))
    assert outcomes._key(row(tools=({"type": "function", "function": {"name": object()}},))) is None


async def test_a_replay_is_not_logged_as_production_is(tmp_path):
    log = tmp_path / "decisions.jsonl"
    await evaluate(rows(), ["a", "b"], "t", log=str(log))
    assert not log.exists()
