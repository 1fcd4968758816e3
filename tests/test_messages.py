import pytest

from semcascade.errors import InputError
from semcascade.messages import Candidate, ToolCall, Usage, as_conversation, content_text, question_text


def test_text_becomes_a_user_message():
    assert as_conversation("Hi") == ({"role": "user", "content": "Hi"},)


def test_messages_pass_through_unchanged():
    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "42", "extra": "kept"},
    ]
    conversation = as_conversation(messages)
    assert all(ours is theirs for ours, theirs in zip(conversation, messages, strict=True))


@pytest.mark.parametrize(
    ("prompt", "field", "word"),
    [
        ("", "prompt", "empty"),
        ("  \n", "prompt", "empty"),
        ([], "prompt", "empty"),
        (42, "prompt", "int"),
        (b"bytes", "prompt", "bytes"),
        ({"role": "user", "content": "x"}, "prompt", "dict"),
        (None, "prompt", "NoneType"),
        (["x"], "prompt[0]", "str"),
        ([{"role": "wizard", "content": "x"}], "prompt[0].role", "wizard"),
        ([{"content": "x"}], "prompt[0].role", "None"),
        ([{"role": ["user"], "content": "x"}], "prompt[0].role", "user"),
        ("half \ud800 a pair", "prompt", "surrogate"),
        ([{"role": "user", "content": "\ud800"}], "prompt[0].content", "surrogate"),
        ([{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}], "prompt[0].content[0].text", "surrogate"),
        ([{"role": "user", "content": [{"type": "text", "text": " "}]}], "prompt", "content"),
        ([{"role": "user", "content": [{}]}], "prompt", "content"),
        ([{"role": "user"}], "prompt[0].content", "missing"),
        ([{"role": "user", "content": 3}], "prompt[0].content", "int"),
        ([{"role": "user", "content": ["x"]}], "prompt[0].content", "list"),
        ([{"role": "user", "content": "  "}], "prompt", "content"),
    ],
)
def test_bad_prompts_are_refused_by_field(prompt, field, word):
    with pytest.raises(InputError) as caught:
        as_conversation(prompt)
    assert caught.value.field == field
    assert word in str(caught.value)


def test_question_is_the_last_user_text():
    messages = as_conversation(
        [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "said"},
            {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "image_url"}]},
            {"role": "tool", "content": "result"},
        ]
    )
    assert question_text(messages) == "second"
    assert question_text(()) == ""
    assert content_text(None) == ""


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [('{"a": 1}', {"a": 1}), ("", {}), ("[1]", None), ("{", None), ("[" * 100_000, None)],
)
def test_arguments_are_untrusted_text(arguments, parsed):
    assert ToolCall("f", arguments).parsed() == parsed


def test_usage_adds_up():
    assert Usage(1, 2, 3, 4) + Usage(10, 20, 30, 40) == Usage(11, 22, 33, 44)


def test_candidate_without_failure_is_ok():
    assert Candidate("a", "text").ok
