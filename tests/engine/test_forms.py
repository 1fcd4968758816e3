"""Answers that cannot be read as what was asked for are not returned while another can."""

import pytest

from semcascade import Cascade, ScriptedTransport, ToolCall

GOOD, OTHER = '{"city": "Rome", "n": 1}', '{"city": "Rome", "n": 2}'
WANTED = {
    "type": "json_schema",
    "json_schema": {
        "name": "Answer",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["city", "n"],
        },
    },
}


def ask(*answers, options=None, **settings):
    names = [f"m{number}" for number in range(len(answers))]
    script = {**dict(zip(names, answers, strict=True)), "big": '{"city": "Oslo", "n": 9}'}
    with Cascade(ensemble=names, target="big", transport=ScriptedTransport(script), **settings) as cascade:
        return cascade.complete("Which city?", **({"response_format": WANTED} if options is None else options))


@pytest.mark.parametrize("selection", ["auto", "primary", "central"])
def test_the_next_best_that_parses_is_returned(selection):
    result = ask('{"city": "Rome", "n": 1', GOOD, GOOD, selection=selection)
    assert result.text == GOOD
    assert result.decision.accepted
    assert "m0's answer was not to choose from: it is no JSON" in result.decision.tiers[0].notes
    assert result.decision.tiers[0].to_dict()["notes"][-1].startswith("m0's")


def test_the_next_best_is_the_one_that_agrees_most_of_those_that_parse():
    result = ask('{"city": "Rome", "n": 1', OTHER, GOOD, GOOD, GOOD, selection="central", threshold=0.3)
    assert result.text == GOOD


def test_what_parses_alone_must_still_agree():
    result = ask("Rome, I think", "no idea, Paris perhaps", GOOD)
    assert not result.decision.accepted


def test_where_none_parses_the_target_answers():
    result = ask(*['{"city": "Rome", "n": 1'] * 3)
    assert result.text == '{"city": "Oslo", "n": 9}'
    assert "no answer can be read as what was asked for" in result.decision.reason
    assert len(result.decision.tiers[0].notes) == 3


def test_tool_calls_with_broken_arguments_are_not_made():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    good = ToolCall("f", '{"x": 1}', "1")
    result = ask(ToolCall("f", '{"x": 1', "0"), good, good, good, options={"tools": tools})
    assert result.tool_calls == (good,)
    assert "the arguments of a tool call are no JSON object" in str(result.decision.tiers[0].notes)


def test_words_are_not_returned_where_a_call_was_required():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    result = ask("one", "one", "one", options={"tools": tools, "tool_choice": "required"})
    assert not result.decision.accepted


def test_an_empty_answer_is_no_matter_of_form():
    result = ask("", GOOD, GOOD, GOOD)
    assert result.text == GOOD
    assert not any("m0's answer" in note for note in result.decision.tiers[0].notes)
