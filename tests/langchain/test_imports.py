"""Importing the wrapper costs what LangChain costs, and pulls in nothing heavy."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("litellm", "torch", "sentence_transformers", "transformers", "llama_index", "xllamacpp", "openai", "numpy")


def run(code: str, **environment: str) -> str:
    setup = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'shared')!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", setup + code],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env=os.environ | environment,
    )
    return done.stdout.strip()


def test_nothing_heavy_is_imported():
    loaded = run("import langchain_semcascade; print(*sys.modules)").split()
    assert "langchain_semcascade.chat_model" in loaded
    assert not set(HEAVY) & set(loaded)


def test_building_a_model_does_not_import_litellm():
    code = (
        "from langchain_semcascade import ChatSemCascade as C; C(ensemble=['openai/gpt-5-nano', 'openai/gpt-5-mini'],"
    )
    loaded = run(code + " target='openai/gpt-5').profile; print(*sys.modules)").split()
    assert not {"litellm", "torch", "sentence_transformers", "openai"} & set(loaded)


def test_without_langchain_the_extra_is_named():
    code = """
import importlib.abc
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "langchain_core":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
try:
    import langchain_semcascade
except ImportError as error:
    print(type(error).__name__, error)
"""
    assert run(code) == (
        "MissingDependencyError langchain_semcascade needs the package 'langchain-core': pip install 'semcascade[langchain]'"
    )


@pytest.mark.slow
def test_the_import_costs_little_more_than_langchains_own(tmp_path):
    """Both from compiled files, as after an installation."""
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    base, ours = "langchain_core.language_models.chat_models", "langchain_semcascade"
    clock = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
    samples: dict[str, list[float]] = {base: [], ours: []}
    for module in samples:
        run(clock.format(module), **compiled)
    for _ in range(7):
        for module, seconds in samples.items():
            seconds.append(float(run(clock.format(module), **compiled)))
    ratio = statistics.median(samples[ours]) / statistics.median(samples[base])
    print(f"import langchain_semcascade: {ratio:.2f} times langchain-core's chat models")
    assert ratio <= 1.2, samples
