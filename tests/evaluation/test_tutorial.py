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
from semcascade.engine.policies import load_policy
from semcascade.evaluation import read_rows, replay
from tests.support.brain import text_of
from tests.support.openai_server import OpenAIServer

README = (Path(semcascade.__file__).parent / "evaluation" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
(CONFIG,) = (text for language, text in BLOCKS if language == "toml")
STEPS = [(language, text) for language, text in BLOCKS if language in ("sh", "python")]
PROMPTS, FRESH = 300, 100
TARGET = tomllib.loads(CONFIG)["target"]
ENSEMBLE = tomllib.loads(CONFIG)["ensemble"]

pytestmark = pytest.mark.slow


def sums(count, name, least=10, most=99):
    """Return lines of prompts of the tutorial's form, with their answers."""
    (shape,) = (json.loads(text) for language, text in BLOCKS if language == "json")
    draw, lines = random.Random(name), []
    for index in range(count):
        a, b = draw.randrange(least, most), draw.randrange(least, most)
        asked = shape["input"].replace("17 + 25", f"{a} + {b}")
        lines.append(json.dumps({**shape, "id": f"{name}{index}", "input": asked, "reference": str(a + b)}) + "\n")
    return "".join(lines)


def member(skill):
    """Return a model that adds rightly the more often, the smaller the numbers."""

    def answer(body):
        asked = text_of(body["messages"][-1])
        a, b = map(int, re.findall(r"\d+", asked)[:2])
        draw = random.Random(f"{skill}:{asked}")
        return str(a + b if draw.random() < skill - (a + b) / 500 else a + b + draw.randrange(1, 9))

    return answer


MODELS = {"gpt-5": member(1.36), "gpt-5-nano": member(1.1), "gpt-4.1-nano": member(1.05), "gpt-4o-mini": member(1.0)}


class Reader:
    """Somebody who does what the tutorial says, in a folder of their own."""

    def __init__(self, folder, server):
        self.folder, self._server, self.said, self.asked = folder, server, {}, {}
        self._environment = {
            **os.environ, "OPENAI_API_KEY": "none", "OPENAI_API_BASE": server.base_url, "COLUMNS": "160",
            "PYTHONPATH": os.pathsep.join(sys.path), "SEMCASCADE_CACHE": str(folder / "cache"),
        }  # fmt: skip

    def run(self, name, *arguments, code=0):
        """Run Python with these arguments; what it says and how often models were asked is kept by name."""
        before = len(self._server.requests)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=self._environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{name}\n{done.stderr}"
        self.said[name], self.asked[name] = done.stdout + done.stderr, len(self._server.requests) - before
        return done.stdout

    def command(self, line, code=0):
        """Run a line of the shell."""
        name, *arguments = shlex.split(line)
        assert name == "semcascade"
        return self.run(line, "-m", name, *arguments, code=code)

    def python(self, text):
        """Run a block of Python, which may wait as a notebook may."""
        body = "".join(f"    {line}\n" for line in text.splitlines())
        waits = f"import asyncio\nasync def main():\n{body}asyncio.run(main())\n"
        return self.run(text, "-c", f"question = {QUESTION!r}\n{waits if 'await ' in text else text}")


QUESTION = "What is 12 + 34? Say only the number."


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A reader who has followed the tutorial to its end."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "team.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "prompts.jsonl").write_text(sums(PROMPTS, "q"), encoding="utf-8")
    (folder / "fresh.jsonl").write_text(sums(FRESH, "fresh"), encoding="utf-8")
    with OpenAIServer(dict(MODELS)) as server:
        reader = Reader(folder, server)
        for language, text in STEPS:
            if language == "python":
                reader.python(text)
            else:
                for line in text.splitlines():
                    reader.command(line)
        yield reader


@pytest.fixture(autouse=True)
def extras():
    pytest.importorskip("altair", reason="the report's extra is not installed")


def test_only_recording_asks_anybody(reader):
    asked = {line: count for line, count in reader.asked.items() if count}
    recorded = [count for line, count in asked.items() if line.startswith("semcascade record")]
    assert recorded == [4 * PROMPTS, 4 * FRESH]
    others = [line for line in asked if not line.startswith("semcascade record")]
    assert all(line.startswith("semcascade ask") or "policy=" in line for line in others)
    assert len(others) == 4


def test_there_is_a_report_and_numbers_that_were_paid_for(reader):
    assert "Quality against cost" in (reader.folder / "report.html").read_text(encoding="utf-8")
    found = json.loads((reader.folder / "entropy.json").read_text())
    assert (found["n"], found["signal"], found["recorded_costs"]) == (PROMPTS, "semantic_entropy", True)
    assert found["chord_gain_ci"][0] > 0


def test_the_policy_promises_something_and_keeps_it_on_questions_it_never_saw(reader):
    policy = load_policy(reader.folder / "policy.json")
    assert policy.certificate.certified
    assert (policy.certificate.claim, policy.certificate.limit, policy.certificate.confidence) == (
        "selective",
        0.1,
        0.95,
    )
    rows = list(read_rows(reader.folder / "fresh-run.jsonl"))
    decisions = asyncio.run(replay(rows, ENSEMBLE, TARGET, policy=policy.to_dict()))
    accepted = [row.scores[one.member] for row, one in zip(rows, decisions, strict=True) if one.accepted]
    assert len(accepted) > FRESH / 4, "it pays"
    assert sum(score < 0.5 for score in accepted) <= 0.2 * len(accepted)
    measured = next(said for line, said in reader.said.items() if line.startswith("semcascade evaluate fresh-run"))
    assert "deferred" in measured
    assert f"{FRESH} " in measured


def test_production_answers_by_the_policy_everywhere(reader):
    told = [said for step, said in reader.said.items() if "policy=" in step or step.startswith("semcascade ask")]
    assert len(told) == 4
    assert all("46" in said for said in told)


def test_drift_is_told_once_there_are_questions_enough(reader):
    line = "semcascade drift decisions.jsonl --policy policy.json"
    assert reader.said[line].startswith("too few")
    asking = (
        "import json, sys\nfrom semcascade import Cascade\n"
        "with Cascade.from_file('team.toml', policy='policy.json', log='decisions.jsonl') as cascade:\n"
        "    for row in open(sys.argv[1]):\n        cascade.complete(json.loads(row)['input'])\n"
    )
    reader.run("production", "-c", asking, "fresh.jsonl")
    assert reader.command(line).startswith("stable")
    (reader.folder / "harder.jsonl").write_text(sums(FRESH, "harder", 150, 250), encoding="utf-8")
    reader.run("harder", "-c", asking, "harder.jsonl")
    assert reader.command(line, code=3).startswith("DRIFTED")


def test_the_tutorials_file_is_a_configuration():
    assert len(CascadeConfig.build(tomllib.loads(CONFIG)).tiers) == 2


def test_its_python_draws_what_the_report_shows(reader):
    for name in ("deferral", "frontier", "histogram", "reliability"):
        assert (reader.folder / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg")
    (said,) = (said for step, said in reader.said.items() if "plots.save" in step)
    gain, low, high = map(float, re.findall(r"[-+\d.e]+", said.splitlines()[-1]))
    assert 0 < low < gain < high


def test_figures_of_the_page_on_guarantees_are_right():
    """No error among n accepted answers bounds their error by 1 - δ^(1/n) (Clopper and Pearson 1934)."""
    text = " ".join(README.split())
    (told,) = re.findall(
        r"(\d+) of them are needed to say .at most (\d+) % bad. .*?, (\d+) to say .at most (\d+) %", text
    )
    for needed, percent in (told[:2], told[2:]):
        assert 1 - 0.05 ** (1 / int(needed)) <= int(percent) / 100 < 1 - 0.05 ** (1 / (int(needed) - 1))
