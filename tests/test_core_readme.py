"""Everything in the core's README is run, and its tables say what the code says."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import semcascade
from semcascade import Cascade, CascadeConfig, ScriptedTransport
from semcascade._litellm import litellm
from semcascade.litellm import unregister
from semcascade.signals import signals
from semcascade.signals.catalog import _SIGNALS
from semcascade.similarity import similarities
from semcascade.similarity.catalog import _SIMILARITIES
from semcascade.transport.openai_shape import MOST_SAMPLES

README = (Path(semcascade.__file__).parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
FILES = [text for language, text in BLOCKS if language == "toml" and "ensemble" in text]
SAID = """\
It is Tokyo. 0.5 (0.5, 0.5, 0.0)
agreement Score(value=0.55, reliability=0.55, note='')
chow_average Score(value=-0.2, reliability=0.8187307530779818, note='')
ensemble: accepted; 3 of 3 answered, compared by auto: exact
same_length
It is Tokyo. accepted a
"""


def test_snippets_run_one_after_the_other():
    litellm()  # by our door: the import of a snippet would fetch a price table, and leave a LiteLLM that talks
    said, names = io.StringIO(), {}
    try:
        with contextlib.redirect_stdout(said):
            for language, text in BLOCKS:
                if language == "python":
                    exec(compile(text, "README.md", "exec"), names)
        similarity = {"name": "same_start", "letters": 2}
        script = ScriptedTransport({"a": "Tokyo", "b": "Toki", "big": "no"})
        with Cascade(ensemble=["a", "b"], target="big", similarity=similarity, transport=script) as cascade:
            assert cascade.complete("Where?").decision.tiers[0].agreement == (1.0, 1.0)
    finally:
        for name in ("same_length", "same_start"):
            _SIMILARITIES.unregister(name)
        _SIGNALS.unregister("least")
        unregister("cheap-first")
    for line in SAID.splitlines():
        assert line in said.getvalue()


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_files_are_configurations_that_a_cascade_can_be_built_from(text: str):
    assert CascadeConfig.build(tomllib.loads(text)).tiers[1].members[0].model == "openai/gpt-5"
    Cascade(tomllib.loads(text))


def test_every_similarity_is_in_the_table():
    section = README.partition("## Similarities")[2].partition("\n## ")[0]
    named = re.findall(
        r"`([a-z_0-9]+)`", "".join(line.split("|")[1] for line in section.splitlines() if line[:2] == "| ")
    )
    assert sorted(named) == sorted(similarities())


def test_the_table_of_signals_says_what_the_signals_say():
    rows = {}
    for line in README.partition("## Signals")[2].partition("\n## ")[0].splitlines():
        if line.startswith("| `"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            rows[name.strip("`")] = cells
    said = {
        name: [s.summary, f"{s.span}, {'higher' if s.higher_is_better else 'lower'}", s.few, s.source]
        for name, s in signals().items()
    }
    assert rows == said


@pytest.mark.slow
def test_the_benchmark_of_signals_runs():
    root = Path(semcascade.__file__).parents[2]
    command = [sys.executable, "-m", "tests.benchmarks.signals"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "all of the matrix" in done.stdout
    assert all(name in done.stdout for name in signals())


def test_every_provider_that_takes_a_number_is_named():
    section = README.partition("## Sampling modes")[2].partition("\n## ")[0].lower().replace(" ", "")
    for provider in MOST_SAMPLES:
        word = (
            provider.removesuffix("_ai").removesuffix("_chat").replace("_", "")
            if provider != "hosted_vllm"
            else provider
        )
        assert word in section, provider
