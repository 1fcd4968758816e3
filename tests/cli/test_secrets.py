"""No key, and no part of one, is ever shown."""

import json

import pytest

from semcascade.cli.secrecy import Secrecy
from semcascade.config import CascadeConfig
from tests.cli.conftest import KEY
from tests.support.openai_server import Status

QUESTION = "What is the capital of Japan?"
ELSEWHERE = "zz-another-Secret-4711"
IN_HEADERS = "hdr-Secret-0815-abc"


@pytest.fixture
def leaky(server, tmp_path, monkeypatch):
    """A provider that repeats every key in its error text, and a configuration with keys in every place."""
    monkeypatch.setenv("OPENAI_API_KEY", ELSEWHERE)
    monkeypatch.setenv("TEAM_KEY", KEY)
    server.fail("a", Status(401, message=f"wrong key {KEY} or {ELSEWHERE} or {IN_HEADERS}"))
    server.fail("*", Status(401, message=f"wrong key {KEY} or {ELSEWHERE} or sk-abcdefghijklmnop1234"))
    headers = {"X-Api-Key": IN_HEADERS}
    members = [
        {"model": "openai/a", "name": "a", "api_base": server.base_url, "api_key": KEY, "extra_headers": headers},
        {"model": "openai/b", "name": "b", "api_base": server.base_url, "api_key_env": "TEAM_KEY"},
        {"model": "openai/t", "name": "t", "api_base": server.base_url, "api_key": KEY},
    ]
    file = tmp_path / "leaky.json"
    file.write_text(json.dumps({"ensemble": members[:2], "target": members[2], "max_retries": 0}))
    return str(file)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", QUESTION],
        ["ask", "-e", QUESTION],
        ["ask", "--json", QUESTION],
        ["ask", "--stream", "-e", QUESTION],
        ["doctor"],
        ["doctor", "--ask"],
        ["doctor", "--ask", "--json"],
    ],
)
@pytest.mark.parametrize("debug", ["", "1"])
def test_no_output_holds_any_part_of_a_key(shell, leaky, monkeypatch, arguments, debug):
    monkeypatch.setenv("SEMCASCADE_DEBUG", debug)
    ran = shell(*arguments, "-c", leaky)
    assert ran.code == (0 if arguments == ["doctor"] else 1)
    everything = ran.out + ran.err
    assert "***" in everything or arguments == ["doctor"]
    for secret in (KEY, ELSEWHERE, IN_HEADERS, "sk-abcdefghijklmnop1234"):
        for length in (len(secret), 8):
            assert secret[:length] not in everything
            assert secret[-length:] not in everything


def test_the_debug_traceback_is_there_and_scrubbed(shell, leaky, monkeypatch):
    monkeypatch.setenv("SEMCASCADE_DEBUG", "1")
    ran = shell("ask", "-c", leaky, QUESTION)
    assert "Traceback (most recent call last)" in ran.err
    monkeypatch.delenv("SEMCASCADE_DEBUG")
    assert "Traceback" not in shell("ask", "-c", leaky, QUESTION).err


def test_a_broken_configuration_file_does_not_show_its_keys(shell, tmp_path):
    file = tmp_path / "team.toml"
    for content in (f"api_key = '{KEY}'\n", f"api_key = '{KEY}\n", f"target = {{model = 7, api_key = '{KEY}'}}\n"):
        file.write_text("ensemble = ['openai/a', 'openai/b']\n" + content)
        ran = shell("ask", "-c", str(file), QUESTION)
        assert ran.code == 2
        assert KEY[:8] not in ran.out + ran.err


def test_short_values_of_the_environment_do_not_garble_what_is_said(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "true")
    monkeypatch.setenv("SOME_API_KEY", "none")
    assert Secrecy().scrub("it is true that none answered") == "it is true that none answered"


def test_a_key_that_holds_another_key_is_hidden_whole(monkeypatch):
    monkeypatch.setenv("A_API_KEY", "abcdefgh")
    monkeypatch.setenv("B_API_KEY", "abcdefghijkl")
    assert Secrecy().scrub("x abcdefghijkl x abcdefgh x") == "x *** x *** x"


def test_the_key_of_a_similarity_is_known(monkeypatch):
    monkeypatch.setenv("EMBEDDINGS", "the-embedding-service-pass")
    secrecy = Secrecy()
    similarity = {"name": "embedding", "api_key_env": "EMBEDDINGS"}
    secrecy.learn(CascadeConfig.build(ensemble=["x/a", "x/b"], target="x/t", similarity=similarity))
    assert secrecy.scrub("the-embedding-service-pass") == "***"
