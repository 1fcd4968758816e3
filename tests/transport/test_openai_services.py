"""Where members are asked, under which name, and which key goes there."""

from __future__ import annotations

import pytest

from semcascade.cli.checks import _PROVIDER_KEYS
from semcascade.config import Member
from semcascade.errors import AuthenticationError, BadRequestError, ModelNotFoundError
from semcascade.transport.openai import OpenAITransport
from semcascade.transport.openai_services import SERVICES, endpoint, key_variables

KEY = "key-of-the-environment"


def place(model: str, **settings: object) -> tuple[str, str, str | None]:
    found = endpoint(Member.model_validate({"model": model, **settings}))
    return found.url("chat/completions"), found.model, found.key


@pytest.mark.parametrize(
    ("model", "variable", "url", "name"),
    [
        ("openai/gpt-5-mini", "OPENAI_API_KEY", "https://api.openai.com/v1/chat/completions", "gpt-5-mini"),
        ("groq/llama-3.3-70b", "GROQ_API_KEY", "https://api.groq.com/openai/v1/chat/completions", "llama-3.3-70b"),
        (
            "openrouter/openai/gpt-5",
            "OPENROUTER_API_KEY",
            "https://openrouter.ai/api/v1/chat/completions",
            "openai/gpt-5",
        ),
        ("together_ai/Qwen/Q", "TOGETHER_API_KEY", "https://api.together.ai/v1/chat/completions", "Qwen/Q"),
        ("perplexity/sonar", "PERPLEXITYAI_API_KEY", "https://api.perplexity.ai/chat/completions", "sonar"),
    ],
)
def test_well_known_services_are_found_by_their_prefix(monkeypatch, model, variable, url, name):
    with pytest.raises(AuthenticationError, match=variable):
        place(model)
    monkeypatch.setenv(variable, KEY)
    assert place(model) == (url, name, KEY)


@pytest.mark.parametrize(
    ("model", "settings", "url", "name"),
    [
        ("ollama/llama3.2", {}, "http://127.0.0.1:11434/v1/chat/completions", "llama3.2"),
        ("ollama/l", {"api_base": "http://gpu:11434"}, "http://gpu:11434/v1/chat/completions", "l"),
        ("Qwen/Qwen3-8B", {"api_base": "http://gpu:8000/v1/"}, "http://gpu:8000/v1/chat/completions", "Qwen/Qwen3-8B"),
        ("mine", {"api_base": "http://gpu/v1?tenant=a"}, "http://gpu/v1/chat/completions?tenant=a", "mine"),
        ("x/y", {"api_base": "http://gpu", "custom_llm_provider": "openai"}, "http://gpu/chat/completions", "x/y"),
        ("hosted_vllm/a/b", {"api_base": "http://gpu/v1"}, "http://gpu/v1/chat/completions", "a/b"),
    ],
)
def test_services_of_ones_own_need_no_key(model, settings, url, name):
    assert place(model, **settings) == (url, name, None)


def test_a_key_of_the_environment_goes_to_its_own_service_only(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert place("openai/a", api_base="http://stranger/v1")[2] is None
    assert place("openai/a", api_base="http://stranger/v1", api_key="given")[2] == "given"
    monkeypatch.setenv("MINE", "mine")
    assert place("openai/a", api_key_env="MINE")[2] == "mine"
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy/v1")
    assert place("openai/a") == ("http://proxy/v1/chat/completions", "a", KEY)
    assert KEY not in repr(endpoint(Member(model="openai/a")))


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"model": "gpt-5"}, ModelNotFoundError, "api_base"),
        ({"model": "nobody/knows"}, ModelNotFoundError, "openrouter"),
        ({"model": "hosted_vllm/a"}, ModelNotFoundError, "HOSTED_VLLM_API_BASE"),
        ({"model": "x", "api_base": "127.0.0.1:8000/v1"}, ModelNotFoundError, "http://"),
        ({"model": "openai/a"}, AuthenticationError, "OPENAI_API_KEY"),
        ({"model": "openai/a", "api_key_env": "NOT_SET"}, AuthenticationError, "NOT_SET"),
        ({"model": "ollama/a", "params": {"base_url": "http://x"}}, BadRequestError, "base_url"),
        ({"model": "ollama/a", "params": {"api_key": "sk-0123456789abcdef"}}, BadRequestError, "api_key"),
    ],
)
def test_what_is_sure_to_fail_is_told_beforehand(settings, error, said):
    with pytest.raises(error, match=said) as caught:
        OpenAITransport().check(Member.model_validate(settings))
    assert "sk-0123456789abcdef" not in str(caught.value)


def test_headers_of_ones_own_can_stand_for_a_key():
    OpenAITransport().check(Member.model_validate({"model": "groq/a", "extra_headers": {"Authorization": "Basic x"}}))


def test_every_service_is_reached_by_tls_or_is_on_this_machine():
    for name, service in SERVICES.items():
        assert service.base is None or service.base.startswith(("https://", "http://127.0.0.1")), name
        assert service.needs_key == (service.base or "").startswith("https://"), name


def test_doctor_and_transport_look_for_the_same_keys():
    for provider in SERVICES.keys() & _PROVIDER_KEYS.keys():
        assert set(_PROVIDER_KEYS[provider]) & set(key_variables(Member(model=f"{provider}/x")))
