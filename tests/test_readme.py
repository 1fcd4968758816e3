"""Everything in the README was run: here it is run again."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from semcascade.config import CascadeConfig, Member, Tier
from tests.support.openai_server import OpenAIServer

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
SNIPPETS = [text for language, text in BLOCKS if language == "python"]
OUTPUTS = [text for language, text in BLOCKS if language == "text"]


@pytest.fixture
def services():
    """Stand in for the providers that the README names."""
    with OpenAIServer({}, default="Tokyo") as server:
        names = ("OPENAI", "DEEPSEEK", "MISTRAL")
        keys = {f"{name}_API_KEY": "none" for name in names} | {f"{name}_API_BASE": server.base_url for name in names}
        yield server, {**os.environ, **keys}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split("\n")[0])
def test_snippets_run(snippet, services, tmp_path):
    server, environment = services
    done = subprocess.run(
        [sys.executable, "-c", snippet], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if "print(" in snippet:
        assert done.stdout.startswith("Tokyo")
        asked = {request.model for request in server.asked()}
        assert asked - {"mistral-small-latest"} == {"deepseek-chat", "gpt-5-nano"}  # two that agree are enough


def test_the_file_is_a_configuration():
    (text,) = [text for language, text in BLOCKS if language == "toml"]
    config = CascadeConfig.build(tomllib.loads(text))
    assert [len(tier.members) for tier in config.tiers] == [3, 1]


def test_every_setting_is_in_the_tables():
    documented = set(re.findall(r"`([a-z_]+)`", README))
    for settings in (CascadeConfig, Tier, Member):
        assert set(settings.model_fields) - documented == set(), settings.__name__


def test_every_similarity_is_named():
    from semcascade.signals import signals
    from semcascade.similarity import similarities

    assert {"auto", "exact", "chrf", "embedding"} <= set(similarities())
    documented = set(re.findall(r"`([a-z_0-9]+)`", README))
    assert {"agreement", "semantic_entropy", "majority", "snne", "eigv"} <= documented & set(signals())


def _without_what_varies(text):
    """Drop times, and the cities that models invent: these differ from run to run."""
    text = re.sub(r"\d+\.\d\d s", "# s", text)
    text = re.sub(r"(smollm2-\w+) +\S.*? +0\.00", r"\1 # 0.00", text)
    return [re.sub(r"[ ─]+", " ", line).strip() for line in text.splitlines() if line.strip(" ─")]


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(("question", "output"), list(zip(["Japan", "Burkina Faso"], OUTPUTS, strict=True)))
def test_decisions_look_like_that(question, output):
    command = [sys.executable, "-m", "semcascade", "ask", "--preset", "local", "--explain"]
    done = subprocess.run(
        [*command, f"What is the capital of {question}?"],
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    shown = [line for line in done.stderr.splitlines() if not line.startswith("fetching")]
    assert _without_what_varies(done.stdout + "\n".join(shown)) == _without_what_varies(output)


@pytest.mark.slow
@pytest.mark.network
def test_members_can_err_together_as_the_readme_says():
    command = [sys.executable, "-m", "semcascade", "ask", "--preset", "local", "--json"]
    done = subprocess.run([*command, "What is the capital of Australia?"], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["decision"]["accepted"]
    assert {candidate["text"] for candidate in said["decision"]["candidates"]} == {"Sydney"}


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
