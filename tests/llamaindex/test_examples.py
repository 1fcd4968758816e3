"""The examples and the README, run."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from llama_index.core import Settings
from llama_index.core.instrumentation import get_dispatcher

from tests.support.openai_server import OpenAIServer

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "llamaindex_semcascade" / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def _clean():
    settings, handlers = dict(vars(Settings)), list(get_dispatcher().event_handlers)
    yield
    vars(Settings).update(settings)
    get_dispatcher().event_handlers[:] = handlers


@pytest.mark.usefixtures("_clean")
class TestRag:
    def test_scripted(self, capsys):
        load("llamaindex_rag").main(["--scripted"])
        shown = capsys.readouterr().out
        assert re.findall(r"^= (.*)$", shown, flags=re.MULTILINE) == [
            "35 years   [constitution.txt]", "443   [internet.txt]", "An IPv6 address has 128 bits.   [internet.txt]",
        ]  # fmt: skip
        assert shown.count("accepted small-1") == 2
        assert shown.count("deferred to large") == 1
        assert "3 queries, 33% deferred, 10 calls" in shown

    @pytest.mark.slow
    @pytest.mark.network
    def test_with_local_models(self, capsys):
        pytest.importorskip("xllamacpp")
        load("llamaindex_rag").main([])
        shown = capsys.readouterr().out
        answers = re.findall(r"^= (.*)   \[", shown, flags=re.MULTILINE)
        assert ["35" in answers[0], "443" in answers[1], "128" in answers[2]] == [True, True, True]
        assert "smollm2-qa" in shown


class TestBatch:
    async def test_scripted(self, capsys):
        await load("async_batch").main(["--scripted"])
        shown = capsys.readouterr().out.splitlines()
        assert len(shown) == 9
        assert [line.split("  ")[1] for line in shown[:8]] == list(load("async_batch").CAPITALS.values())
        assert shown[-1].startswith("8 queries, 25% deferred, 26 calls, $0.0")
        assert "saved" in shown[-1]

    @pytest.mark.slow
    @pytest.mark.network
    async def test_with_local_models(self, capsys):
        pytest.importorskip("xllamacpp")
        await load("async_batch").main([])
        shown = capsys.readouterr().out
        assert "What is the capital of Japan?  Tokyo" in shown
        assert "8 queries" in shown


def test_the_readmes_snippets():
    code = "\n".join(SNIPPETS)
    with OpenAIServer() as server:
        names = ("OPENAI", "DEEPSEEK", "MISTRAL")
        keys = {f"{name}_API_KEY": "none" for name in names} | {f"{name}_API_BASE": server.base_url for name in names}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **keys, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("You asked: What is the capital of Japan?\naccepted openai/gpt-5-nano")
    assert "The tool returned: It is sunny in Oslo." in done.stdout
    assert "name=" in done.stdout
    assert "You asked: Tell me of the sea." in done.stdout
    assert "queries, 0% deferred" in done.stdout


def test_the_readmes_files_and_links_exist():
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / "llamaindex_semcascade" / target).exists(), target
    for name in re.findall(r"`(\w+\.py)`", README):
        assert (ROOT / "llamaindex_semcascade" / name).exists(), name
