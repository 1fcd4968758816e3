"""The tutorial is run as it stands: every command, one after the other, on what a service on the loopback answers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import semcascade
from semcascade.config import CascadeConfig
from tests.support.brain import text_of
from tests.support.openai_server import OpenAIServer

README = (Path(semcascade.__file__).parent / "evaluation" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
(CONFIG,) = (text for language, text in BLOCKS if language == "toml")
(SNIPPET,) = (text for language, text in BLOCKS if language == "python")
PROMPTS = 300

pytestmark = pytest.mark.slow


def sums():
    """Yield prompts of the tutorial's form, with their answers."""
    (shape,) = (json.loads(text) for language, text in BLOCKS if language == "json")
    draw = random.Random(0)
    for index in range(PROMPTS):
        a, b = draw.randrange(10, 99), draw.randrange(10, 99)
        asked = shape["input"].replace("17 + 25", f"{a} + {b}")
        yield {**shape, "id": f"q{index}", "input": asked, "reference": str(a + b)}


def member(skill):
    """Return a model that adds rightly the more often, the smaller the numbers."""

    def answer(body):
        asked = text_of(body["messages"][-1])
        a, b = map(int, re.findall(r"\d+", asked)[:2])
        draw = random.Random(f"{skill}:{asked}")
        return str(a + b if draw.random() < skill - (a + b) / 500 else a + b + draw.randrange(1, 9))

    return answer


MODELS = {"gpt-5": member(1.36), "gpt-5-nano": member(1.1), "gpt-4.1-nano": member(1.05), "gpt-4o-mini": member(1.0)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the tutorial was followed to its end; what each command said stands beside it."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "team.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "prompts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in sums()), encoding="utf-8")
    with OpenAIServer(dict(MODELS)) as server:
        environment = {**os.environ, "OPENAI_API_KEY": "none", "OPENAI_API_BASE": server.base_url, "COLUMNS": "160"}
        said = []
        for command in COMMANDS:
            name, *arguments = shlex.split(command)
            assert name == "semcascade"
            done = subprocess.run(
                [sys.executable, "-m", name, *arguments], cwd=folder, env=environment,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            said.append(done.stdout + done.stderr)
        asked = len(server.requests)
    assert asked == 4 * PROMPTS, "each member and the target, each prompt once, and nothing after that"
    (folder / "said.json").write_text(json.dumps(dict(zip(COMMANDS, said, strict=True))))
    return folder


@pytest.fixture(autouse=True)
def extras():
    pytest.importorskip("altair", reason="the report's extra is not installed")


def test_the_tutorial_ends_with_a_report_and_numbers_that_were_paid_for(folder):
    assert "Quality against cost" in (folder / "report.html").read_text(encoding="utf-8")
    found = json.loads((folder / "entropy.json").read_text())
    assert (found["n"], found["signal"], found["recorded_costs"]) == (PROMPTS, "semantic_entropy", True)
    assert found["chord_gain_ci"][0] > 0


def test_the_tutorials_file_is_a_configuration():
    assert len(CascadeConfig.build(tomllib.loads(CONFIG)).tiers) == 2


def test_its_python_draws_what_the_report_shows(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    body = "".join(f"    {line}\n" for line in SNIPPET.splitlines())
    names = {}
    exec(compile(f"async def main():\n{body}    return found\n", "README.md", "exec"), names)
    found = asyncio.run(names["main"]())
    assert str(found.evaluation.chord_gain) in capsys.readouterr().out
    for name in ("deferral", "frontier", "histogram", "reliability"):
        assert (folder / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg")


def test_figures_of_the_page_on_guarantees_are_right():
    """No error among n accepted answers bounds their error by 1 - δ^(1/n) (Clopper and Pearson 1934)."""
    text = " ".join(README.split())
    (told,) = re.findall(
        r"(\d+) of them are needed to say .at most (\d+) % bad. .*?, (\d+) to say .at most (\d+) %", text
    )
    for needed, percent in (told[:2], told[2:]):
        assert 1 - 0.05 ** (1 / int(needed)) <= int(percent) / 100 < 1 - 0.05 ** (1 / (int(needed) - 1))
