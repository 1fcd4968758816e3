"""A query goes to those who can answer it, and the decision says so."""

from __future__ import annotations

import pickle

import pytest

from semcascade import Cascade, ConfigError, InputError, Member, ScriptedTransport, ToolCall

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALL = ToolCall("weather", "{}")
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def member(name, **abilities):
    return {"model": name, "abilities": abilities}


def cascade(*abilities, target=None, **settings):
    script = ScriptedTransport({"*": lambda request: CALL if request.tools else '{"n": 4}'})
    ensemble = [member(name, **known) for name, known in zip("abc", abilities, strict=False)]
    return Cascade(ensemble=ensemble, target=member("big", **(target or {})), transport=script, **settings), script


def asked(script):
    return [name for name, _ in script.requests]


def show(*parts):
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]


def test_the_unknown_is_tried():
    made, script = cascade({}, {}, {})
    result = made.complete("Weather?", tools=TOOLS)
    assert asked(script) == ["a", "b", "c"]
    assert result.decision.notes == ()


@pytest.mark.parametrize(
    ("lacking", "prompt", "options", "words"),
    [
        ("tools", "Weather?", {"tools": TOOLS}, "be offered tools"),
        ("tool_choice", "Weather?", {"tools": TOOLS, "tool_choice": "required"}, "be told to call a tool"),
        ("structured_output", "Which?", {"response_format": FORMAT}, "be held to a schema"),
        ("images", show(PICTURE), {}, "take images"),
        ("audio", show({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}), {}, "take audio"),
        ("pdf", show(PDF), {}, "take PDF files"),
        ("pdf", show({"type": "file", "file": {"file_id": "https://example.org/a.pdf?x=1"}}), {}, "take PDF files"),
        ("video", show({"type": "file", "file": {"file_id": "gs://x/a", "format": "video/mp4"}}), {}, "take video"),
    ],
)
def test_a_member_that_cannot_is_left_out(lacking, prompt, options, words):
    made, script = cascade({}, {lacking: False}, {lacking: True})
    result = made.complete(prompt, **options)
    assert asked(script) == ["a", "c"]
    assert result.decision.accepted
    assert result.decision.notes == (f"b cannot {words}, and was not asked",)
    assert "b cannot" in result.decision.explain()
    assert result.decision.to_dict()["notes"] == list(result.decision.notes)
    assert [candidate.member for candidate in made.complete("Hello").decision.tiers[0].candidates] == ["a", "b", "c"]


def test_a_tier_of_too_few_is_passed_over():
    made, script = cascade({"images": False}, {"images": False}, {})
    decision = made.complete(show(PICTURE)).decision
    assert asked(script) == ["big"]
    assert decision.reason == "straight to big: ensemble was passed over: a and b cannot take images"
    assert not decision.accepted
    assert [type(item).__name__ for item in made.stream(show(PICTURE))][-1] == "Result"
    assert asked(script) == ["big", "big"]


def test_the_best_of_those_who_can_answers_where_the_target_cannot():
    made, script = cascade({}, {"images": False}, {}, target={"images": False})
    decision = made.complete(show(PICTURE)).decision
    assert asked(script) == ["a"]
    assert decision.reason == "straight to a: big cannot take images, a can"


def test_nobody_can():
    made, script = cascade(*[{"images": False}] * 3, target={"images": False})
    with pytest.raises(InputError, match=r"prompt: no member can take images.*abilities=\{'images': True\}"):
        made.complete(show(PICTURE))
    with pytest.raises(InputError, match="a cannot take images"):
        made.complete(show(PICTURE), member="a")
    assert script.requests == []


def test_an_error_where_that_was_asked_for():
    made, script = cascade({}, {"tools": False}, {}, unsupported="raise")
    with pytest.raises(InputError, match="tools: b cannot be offered tools"):
        made.complete("Weather?", tools=TOOLS)
    with pytest.raises(InputError, match="tools: b cannot be offered tools"):
        made.check(tools=TOOLS)
    made.check(tools=[])
    assert made.complete("Weather?", tools=TOOLS, member="c").tool_calls == (CALL,)
    assert asked(script) == ["c"]


def test_what_is_known_by_the_table_and_who_wins():
    ensemble = ["openai/gpt-4o-mini", "openai/gpt-4o"]
    made = Cascade(ensemble=ensemble, target="openai/gpt-5")
    assert (made.abilities()["tools"], made.abilities()["audio"]) == (True, False)
    own = [{"model": ensemble[0], "abilities": {"tools": False}}, ensemble[1]]
    assert Cascade(ensemble=own, target="openai/gpt-5").abilities()["tools"] is False
    assert "images" not in Cascade(ensemble=["openai/mine", "openai/gpt-4o"], target="openai/gpt-4o").abilities()


def test_a_setting_of_the_member():
    one = Member(model="a", abilities={"tools": False})
    assert one.to_dict() == {"model": "a", "abilities": {"tools": False}}
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(ConfigError, match="abilities"):
        Cascade(ensemble=[member("a", flying=True), "b"], target="c")
