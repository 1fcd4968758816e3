"""References that say what each argument of a call may be."""

import json

import pytest

from semcascade import Candidate, ToolCall
from semcascade.evaluation import score_rows
from semcascade.evaluation.possible_calls import fulfils, wanted_calls
from semcascade.evaluation.rows import Row
from tests.benchmarks.quality import read

WANTED = {
    "area": {"base": [10], "unit": ["cm", "centi-metres", ""], "of": [["a", "b"]], "how": [{"exact": [True, ""]}]}
}
RIGHT = {"base": 10, "of": ["A", "b."], "how": {}}


def call(name="area", **arguments):
    return ToolCall(name, json.dumps(arguments))


@pytest.mark.parametrize(
    ("calls", "right"),
    [
        ([call(**RIGHT)], True),
        ([call(**RIGHT | {"base": 10.0, "unit": "Centi Metres", "how": {"exact": True}})], True),
        ([call(**RIGHT | {"base": "10"})], False),
        ([call(**RIGHT | {"base": True})], False),
        ([call(**RIGHT | {"unit": "m"})], False),
        ([call(**RIGHT | {"of": ["a"]})], False),
        ([call(**RIGHT | {"how": {"exact": False}})], False),
        ([call(**RIGHT | {"more": 1})], False),
        ([call(of=["a", "b"], how={})], False),
        ([call("volume", **RIGHT)], False),
        ([ToolCall("area", "{")], False),
        ([call(**RIGHT)] * 2, False),
        ([], False),
    ],
)
def test_a_call_is_right_where_every_argument_may_be_what_it_is(calls, right):
    assert fulfils(wanted_calls(json.dumps(WANTED)), calls) is right


def test_several_calls_come_in_any_order_each_once():
    wanted = wanted_calls('{"play.song 1": {"by": ["X", "Y"]}, "play.song 2": {"by": ["X"]}}')
    assert fulfils(wanted, [call("play_song", by="x"), call("play_song", by="y")])
    assert not fulfils(wanted, [call("play_song", by="y"), call("play_song", by="y")])


@pytest.mark.parametrize("text", ["42", "[]", "{}", '{"name": "f", "arguments": {}}', '{"f": {"x": 1}}', "NO CALL"])
def test_other_references_are_none_of_these(text):
    assert wanted_calls(text) is None


def test_answers_are_scored_by_them():
    answers = {"a": Candidate("a", tool_calls=(call("f", x=1),)), "b": Candidate("b", "I cannot.")}
    row = Row("1", "", ({"role": "user", "content": "?"},), (), answers, {}, references=('{"f": {"x": [1, 2]}}',))
    assert score_rows([row], "tool_calls")[0].scores == {"a": 1.0, "b": 0.0}
    silent = Row("2", "", row.messages, (), answers, {}, references=("NO_CALL",))
    assert score_rows([silent], "tool_calls")[0].scores == {"a": 0.0, "b": 1.0}


def test_verdicts_are_the_leaderboards():
    """Nearly all others are answers of the wrong form, whose calls were read here all the same."""
    rows = read("tool_bfcl")
    if rows is None:
        pytest.skip("tool_bfcl is not in the folder of recorded sets")
    pairs = [
        (fulfils(wanted_calls(row.reference), answer.tool_calls), row.scores[name] > 0)
        for row in rows
        for name, answer in row.answers.items()
    ]
    assert sum(ours == theirs for ours, theirs in pairs) / len(pairs) > 0.94
    called = [
        pair
        for row, pair in zip((row for row in rows for _ in row.answers), pairs, strict=True)
        if row.reference != "NO_CALL"
    ]
    assert sum(theirs and not ours for ours, theirs in called) <= 1
