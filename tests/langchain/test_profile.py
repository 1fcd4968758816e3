"""The profile of a cascade is what every member can do."""

from __future__ import annotations

import pytest

from langchain_semcascade import ChatSemCascade
from langchain_semcascade.profile import combined_profile, member_profile
from semcascade import Member
from semcascade._litellm import litellm


def test_a_member_of_the_table():
    profile = member_profile(Member(model="openai/gpt-5-mini"))
    assert profile["tool_calling"] is True
    assert profile["audio_inputs"] is False
    assert profile["max_input_tokens"] == litellm().get_model_info("openai/gpt-5-mini")["max_input_tokens"]


@pytest.mark.parametrize(
    "model",
    ["openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "cohere_chat/command-r-08-2024"],
)
def test_the_table_is_the_one_that_litellm_reads(model):
    info, profile = litellm().get_model_info(model), member_profile(Member(model=model))
    assert profile["tool_calling"] == bool(info["supports_function_calling"])
    assert profile["image_inputs"] == bool(info["supports_vision"])
    assert profile["structured_output"] == bool(info["supports_response_schema"])
    assert profile.get("max_output_tokens") == info["max_output_tokens"]


def test_and_over_abilities_and_the_least_limit():
    members = [Member(model="openai/gpt-5-mini"), Member(model="cohere_chat/command-r-08-2024")]
    both = combined_profile(members)
    each = [member_profile(member) for member in members]
    assert both["image_inputs"] is False, "one of them sees nothing"
    assert both["tool_calling"] is True
    assert both["max_input_tokens"] == min(profile["max_input_tokens"] for profile in each)


def test_the_unknown_is_left_out():
    known, unknown = Member(model="openai/gpt-5-mini"), Member(model="openai/my-own-model")
    assert member_profile(unknown) == {}
    profile = combined_profile([known, unknown])
    assert "tool_calling" not in profile
    assert "max_input_tokens" not in profile
    assert profile["audio_inputs"] is False, "one is known to lack it"
    own = Member(model="openai/my-own-model", context_window=4096)
    assert combined_profile([known, own])["max_input_tokens"] == 4096


def test_the_model_carries_it_and_the_users_own_wins():
    settings = {"ensemble": ["openai/gpt-5-nano", "openai/gpt-5-mini"], "target": "openai/gpt-5"}
    assert ChatSemCascade(**settings).profile["structured_output"] is True
    assert ChatSemCascade(**settings, profile={"tool_calling": False}).profile == {"tool_calling": False}
