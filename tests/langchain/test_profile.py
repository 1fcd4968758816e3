"""The profile of a cascade is what every member can do, and what one cannot do is not asked of it."""

from __future__ import annotations

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_semcascade import ChatInputError, ChatSemCascade
from langchain_semcascade.profile import combined_profile
from semcascade import Cascade, ToolCall
from semcascade._litellm import litellm

FLASH = "gemini/gemini-2.5-flash"


def profile_of(*models, **last):
    """Return the profile of a cascade of these models; the last one is the target, with further settings."""
    return combined_profile(Cascade(ensemble=[models[0], {"model": models[0], "name": "twin"}],
                                    target={"model": models[-1], **last}))  # fmt: skip


@pytest.mark.parametrize(
    "model",
    ["openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", FLASH, "cohere_chat/command-r-08-2024"],
)
def test_the_table_is_the_one_that_litellm_reads(model):
    info, profile = litellm().get_model_info(model), profile_of(model)
    assert profile["tool_calling"] == bool(info["supports_function_calling"])
    assert profile["image_inputs"] == bool(info["supports_vision"])
    assert profile["structured_output"] == bool(info["supports_response_schema"])
    assert profile["max_input_tokens"] == info["max_input_tokens"]
    assert profile.get("max_output_tokens") == info["max_output_tokens"]


def test_and_over_abilities_and_the_least_limit():
    models = ("openai/gpt-5-mini", "cohere_chat/command-r-08-2024")
    both, each = profile_of(*models), [profile_of(model) for model in models]
    assert each[0]["image_inputs"] is True
    assert both["image_inputs"] is False, "one of them sees nothing"
    assert both["tool_calling"] is True
    assert both["max_input_tokens"] == min(profile["max_input_tokens"] for profile in each)


def test_the_unknown_is_left_out():
    assert profile_of("openai/my-own-model") == {}
    profile = profile_of("openai/gpt-5-mini", "openai/my-own-model")
    assert "tool_calling" not in profile
    assert "max_input_tokens" not in profile
    assert profile["audio_inputs"] is False, "one is known to lack it"
    own = profile_of("openai/gpt-5-mini", "openai/my-own-model", context_window=4096, abilities={"tools": True})
    assert own["max_input_tokens"] == 4096
    assert own["tool_calling"] is True


def test_the_model_carries_it_and_the_users_own_wins():
    settings = {"ensemble": ["openai/gpt-5-nano", "openai/gpt-5-mini"], "target": "openai/gpt-5"}
    assert ChatSemCascade(**settings).profile["structured_output"] is True
    assert ChatSemCascade(**settings, profile={"tool_calling": False}).profile == {"tool_calling": False}


# --- what a member cannot do


@tool
def weather(city: str) -> str:
    """Look up the weather."""
    return f"sunny in {city}"


class City(BaseModel):
    """A city."""

    name: str


def lacking(*names, **abilities):
    cannot = {name: {"model": f"m/{name}", "abilities": abilities} for name in names}
    cheap = [cannot.get(name, f"m/{name}") for name in ("cheap-1", "cheap-2", "cheap-3")]
    return {"ensemble": cheap, "target": cannot.get("large", "m/large")}


CALL = ToolCall("weather", '{"city": "Bern"}', "c1")


def test_a_bound_query_goes_to_those_who_can(scripted):
    model = scripted(CALL, CALL, **lacking("cheap-1", tools=False))
    message = model.bind_tools([weather]).invoke("Weather in Bern?")
    assert [name for name, _ in model.transport.requests] == ["m/cheap-2", "m/cheap-3"]
    assert message.response_metadata["semcascade"]["notes"] == ["m/cheap-1 cannot be offered tools, and was not asked"]
    model = scripted(CALL, CALL, **lacking("cheap-1", "cheap-2", tools=False))
    chunks = list(model.bind_tools([weather]).stream("Weather in Bern?"))
    decision = sum(chunks[1:], start=chunks[0]).response_metadata["semcascade"]
    assert [name for name, _ in model.transport.requests] == ["m/large"]
    assert decision["reason"].startswith("straight to m/large: ensemble was passed over: m/cheap-1 and m/cheap-2")


@pytest.mark.parametrize(
    "bind",
    [
        lambda model: model.bind_tools([weather]),
        lambda model: model.with_structured_output(City),
        lambda model: model.with_structured_output(City, method="json_schema"),
    ],
)
@pytest.mark.parametrize(
    ("names", "unsupported"), [(("cheap-1",), "raise"), (("cheap-1", "cheap-2", "cheap-3", "large"), "route")]
)
def test_what_cannot_be_is_refused_when_bound(scripted, bind, names, unsupported):
    members = lacking(*names, tools=False, structured_output=False)
    model = scripted("4", unsupported=unsupported, **members)
    with pytest.raises(ChatInputError, match=r"can.* be offered tools|can.* be held to a schema"):
        bind(model)
    assert model.invoke("2 + 2?").text == "4", "what needs no tools is asked as ever"


PICTURE = HumanMessage([{"type": "image", "url": "https://example.org/a.png"}, {"type": "text", "text": "What?"}])
PAPER = HumanMessage([{"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"}])
SOUND = HumanMessage([{"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"}])
FILM = HumanMessage([{"type": "video", "base64": "AAAA", "mime_type": "video/mp4"}])


@pytest.mark.parametrize(
    ("ability", "message"), [("images", PICTURE), ("pdf", PAPER), ("audio", SOUND), ("video", FILM)]
)
def test_media_go_to_those_who_can_take_them(scripted, ability, message):
    model = scripted("a cat", **lacking("cheap-3", **{ability: False}))
    assert model.invoke([message]).response_metadata["semcascade"]["notes"]
    assert {name for name, _ in model.transport.requests} == {"m/cheap-1", "m/cheap-2"}
    nobody = scripted("a cat", **lacking("cheap-1", "cheap-2", "cheap-3", "large", **{ability: False}))
    with pytest.raises(ModelInvalidRequestError, match="no member can take") as caught:
        nobody.invoke([message])
    assert caught.value.field == "prompt"
    assert f"abilities={{'{ability}': True}}" in str(caught.value)
