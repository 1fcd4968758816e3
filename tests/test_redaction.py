import pytest

from semcascade.config import Member
from semcascade.redaction import is_secret_key, redact, secret_values


@pytest.mark.parametrize(
    "name",
    ["api_key", "apikey", "API-KEY", "aws_secret_access_key", "hf_token", "password", "extra_headers", "vertex_credentials",
     "Authorization", "azure_ad_token", "private_key"],
)  # fmt: skip
def test_secret_names(name):
    assert is_secret_key(name)


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "max_completion_tokens", "temperature", "stop", "top_logprobs", "input_cost_per_token", "api_base",
     "context_window", "api_version"],
)  # fmt: skip
def test_harmless_names(name):
    assert not is_secret_key(name)


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdefghijklmnopqrst",
        "header Authorization: Bearer abcdef0123456789",
        "GET https://user:hunter22@host/v1",
        "known-secret-value was wrong",
    ],
)
def test_secrets_are_replaced(text):
    clean = redact(text, ["known-secret-value"])
    assert "***" in clean
    for secret in ("sk-proj-abcdefghijklmnopqrst", "abcdef0123456789", "hunter22", "known-secret-value"):
        assert secret not in clean


def test_harmless_text_stays():
    text = "rate limit reached for gpt-4o, max_tokens=100, skip-this, see https://host/v1"
    assert redact(text) == text


@pytest.mark.parametrize("word", ["none", "null", "EMPTY", "dummy"])
def test_words_that_stand_for_no_key_stay(word):
    assert redact(f'{{"seed": {word}}}', [word, "qk-real-key"]) == f'{{"seed": {word}}}'


def test_keys_of_the_environment_are_replaced_though_they_look_like_nothing(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "plain-words-4711")
    monkeypatch.setenv("OTHER_API_KEY", "plain-words-4711-and-more")
    monkeypatch.setenv("SOME_TOKEN", "true")
    assert redact("plain-words-4711-and-more, plain-words-4711: true") == "***, ***: true"


def test_every_secret_among_the_settings_is_found():
    settings = {"seed": 7, "extra_headers": {"A": "one", "B": ["two"]}, "extra_body": {"user_token": "three", "n": "4"}}
    assert list(secret_values(settings)) == ["one", "two", "three"]
    member = Member(model="x/y", api_key="zero", **{**settings, "extra_headers": {"A": "one", "B": "two"}})
    assert member.secrets() == ("zero", "one", "two", "three")
