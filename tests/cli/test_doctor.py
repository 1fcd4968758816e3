"""`semcascade doctor`: findings that are true, and an exit code that says whether all is fine."""

import json
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from semcascade.cli.checks import find_packages
from tests.support.openai_server import Status, closed_address

ROOT = Path(__file__).parents[2]


def test_without_a_configuration_it_tells_what_is_installed(shell):
    ran = shell("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert f"litellm {metadata.version('litellm')}" in ran.out
    assert "no members: give -c FILE" in ran.out


def test_the_packages_are_those_that_the_project_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {(package.extra, package.name) for package in find_packages()}
    declared = {(None, name) for name in map(name_of, project["dependencies"])}
    for extra in ("langchain", "llamaindex", "embeddings", "local"):
        declared |= {(extra, name_of(line)) for line in project["optional-dependencies"][extra]}
    assert found == declared


def name_of(requirement):
    return requirement.split(">")[0].split("=")[0].split("[")[0]


def test_a_missing_package_is_told_with_its_remedy(shell, monkeypatch):
    real = metadata.version

    def without(name):
        if name in {"xllamacpp", "rapidfuzz"}:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr("importlib.metadata.version", without)
    ran = shell("doctor")
    assert ran.code == 1
    assert "xllamacpp (missing)" in ran.out
    assert "pip install 'semcascade[local]'" in ran.out
    assert ran.out.splitlines()[-1] == "missing or not working: the package rapidfuzz"


def test_what_the_comparison_needs_is_needed(shell, monkeypatch, configured):
    real = metadata.version

    def without(name):
        if name == "sentence-transformers":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr("importlib.metadata.version", without)
    assert shell("doctor", "-c", configured()).code == 0
    remote = {"name": "embedding", "model": "litellm/openai/text-embedding-3-small"}
    assert shell("doctor", "-c", configured(similarity=remote)).code == 0
    ran = shell("doctor", "-c", configured(similarity="embedding"), "--json")
    assert (ran.code, ran.json["missing"]) == (1, ["the package sentence-transformers"])


def test_names_that_do_not_exist_end_with_2(shell, configured):
    ran = shell("doctor", "-c", configured(), "--signal", "agrement")
    assert (ran.code, ran.out) == (2, "")
    assert "'agreement'" in ran.err


def test_keys_are_told_by_name_alone(shell, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_0123456789abcdef")
    monkeypatch.setenv("TEAM_KEY", "")
    members = "--ensemble", "openai/a,anthropic/b", "--target", "openai/t"
    ran = shell("doctor", "--json", *members)
    keys = {key["name"]: (key["present"], key["wanted_by"]) for key in ran.json["keys"]}
    assert keys["GROQ_API_KEY"] == (True, [])
    assert keys["OPENAI_API_KEY"] == (False, ["openai/a", "openai/t"])
    assert keys["ANTHROPIC_API_KEY"] == (False, ["anthropic/b"])
    assert "gsk" not in ran.out
    shown = shell("doctor", *members).out
    assert "✓ GROQ_API_KEY" in shown
    assert "✗ OPENAI_API_KEY     openai/a, openai/t" in shown
    assert "0123" not in shown


def test_a_key_under_a_name_of_ones_own(shell, tmp_path, monkeypatch):
    member = {"model": "openai/a", "api_key_env": "TEAM_KEY"}
    file = tmp_path / "team.json"
    file.write_text(json.dumps({"ensemble": [{**member, "samples": 2}], "target": {**member, "name": "t"}}))
    ran = shell("doctor", "-c", str(file), "--json")
    assert ran.code == 1
    assert ran.json["keys"][0] == {"name": "TEAM_KEY", "present": False, "wanted_by": ["openai/a", "t"]}
    assert "TEAM_KEY is not set" in ran.json["members"][0]["problem"]
    monkeypatch.setenv("TEAM_KEY", "x")
    assert shell("doctor", "-c", str(file)).code == 0


def test_what_is_sure_to_fail_is_found_without_asking(shell):
    ran = shell("doctor", "--ensemble", "openai/a,nonsense", "--target", "anthropic/t")
    assert ran.code == 1
    for said in ("no key: set the environment variable OPENAI_API_KEY", "no provider is known", "nobody was asked"):
        assert said in ran.out
    assert "missing or not working: the member openai/a (ensemble), the member nonsense" in ran.out


def test_nobody_is_asked_unless_told_to(shell, configured, server):
    ran = shell("doctor", "-c", configured(), "--json")
    assert (ran.code, ran.json["ok"], ran.json["asked"]) == (0, True, False)
    assert [member["asked"] for member in ran.json["members"]] == [False] * 4
    assert not server.asked()


def test_each_member_is_asked_once_and_its_answer_shown(shell, configured, server):
    server.fail("b", Status(503, message="out of \x1b[31morder [red]"))
    ran = shell("doctor", "-c", configured(max_retries=3), "--ask")
    assert ran.code == 1
    assert [request.model for request in server.asked()] == ["a", "b", "c", "t"]
    assert "answers: Tokyo" in ran.out
    assert "out of [31morder [red]" in ran.out
    assert "missing or not working: the member b (ensemble)" in ran.out
    found = shell("doctor", "-c", configured(), "--ask", "--json").json["members"]
    assert [member["answer"] for member in found] == ["Tokyo", None, "tokyo", "The capital of Japan is Tokyo."]
    assert found[0]["cost"] == pytest.approx(13e-7, rel=0.5)
    assert found[0]["latency_s"] > 0
    assert found[1]["latency_s"] is None


def test_members_of_one_name_in_two_tiers_are_each_asked_as_they_are(shell, server, tmp_path):
    here, nowhere = server.member("a", name="a"), {**server.member("a", name="a"), "api_base": closed_address()}
    file = tmp_path / "team.json"
    file.write_text(json.dumps({"ensemble": [here, server.member("b")], "target": nowhere}))
    found = shell("doctor", "-c", str(file), "--ask", "--json").json["members"]
    assert [member["problem"] is None for member in found] == [True, True, False]


def test_a_wrong_configuration_ends_with_2(shell):
    ran = shell("doctor", "-c", "nowhere.toml")
    assert (ran.code, ran.out) == (2, "")
    assert "cannot read nowhere.toml" in ran.err
