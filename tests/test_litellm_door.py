"""LiteLLM comes in when it is needed, not before, and keeps to itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys

HEAVY = [
    "litellm",
    "torch",
    "sentence_transformers",
    "transformers",
    "langchain_core",
    "llama_index",
    "scipy",
    "pandas",
]


def run(code: str, **environment: str) -> dict[str, object]:
    """Run code in a fresh interpreter; it prints one JSON value."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LITELLM")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_comparing_and_scoring_import_nothing_heavy():
    found = run(
        f"""
import json, sys
from semcascade.messages import Candidate
from semcascade.signals import Evidence, signals
from semcascade.similarity import compare, get_similarity
answers = [Candidate("a", text="Rivers run to the sea, and to the sea only."), Candidate("b", text="42")]
for name in ("auto", "exact", "chrf", "rouge_l", "json", "code", "tool_calls", "embedding"):
    similarity = get_similarity(name)
    if name != "embedding":
        matrix = compare(similarity, "q", answers).matrix
for signal in signals().values():
    signal.score(Evidence(matrix))
print(json.dumps({{"heavy": [name for name in {HEAVY!r} if name in sys.modules]}}))
"""
    )
    assert found == {"heavy": []}


LOAD = """
import json, os, socket
def refuse(*arguments, **more):
    raise AssertionError("the import went to the network")
socket.socket.connect = refuse
from semcascade._litellm import litellm
module = litellm()
assert litellm() is module
print(json.dumps({
    "map": os.environ["LITELLM_LOCAL_MODEL_COST_MAP"], "mode": os.environ["LITELLM_MODE"],
    "silent": module.suppress_debug_info, "telemetry": module.telemetry, "key": os.environ.get("FROM_DOTENV"),
}))
"""


def test_the_import_fetches_nothing_and_reads_no_env_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("FROM_DOTENV=leaked\n")
    monkeypatch.chdir(tmp_path)
    found = run(LOAD)
    assert found == {"map": "True", "mode": "PRODUCTION", "silent": True, "telemetry": False, "key": None}


def test_what_the_user_has_set_stands():
    assert run(LOAD, LITELLM_MODE="DEV")["mode"] == "DEV"


def test_only_who_owns_the_output_silences_litellm_that_is_there_already():
    found = run(
        """
import json, sys, types
mine = types.ModuleType("litellm")
mine.suppress_debug_info = False
sys.modules["litellm"] = mine
from semcascade._litellm import quiet
with quiet():
    within = mine.suppress_debug_info
print(json.dumps({"within": within, "after": mine.suppress_debug_info}))
"""
    )
    assert found == {"within": True, "after": False}


SYNCHRONOUS = """
import asyncio, json
from semcascade.messages import Candidate
from semcascade.similarity import acompare
from semcascade.similarity.embedding import Embedding
from tests.support.openai_server import OpenAIServer
with OpenAIServer(api_key="k") as server:
    service = Embedding("litellm/openai/e", api_base=server.base_url, api_key_env="EMBEDDING_KEY")
    answers = [Candidate("a", text="Tokyo"), Candidate("b", text="Kyoto")]
    print(json.dumps(len(asyncio.run(acompare(service, "q", answers)).paid)))
"""


def test_no_client_of_a_synchronous_call_is_left_open_at_exit():
    command = [sys.executable, "-W", "default::ResourceWarning", "-c", SYNCHRONOUS]
    done = subprocess.run(
        command, env={**os.environ, "EMBEDDING_KEY": "k"}, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stdout, "ResourceWarning" in done.stderr) == ("1\n", False), done.stderr


def test_litellm_that_is_there_already_is_left_as_it_is():
    found = run(
        """
import json, os, sys, types
mine = types.ModuleType("litellm")
mine.suppress_debug_info = False
sys.modules["litellm"] = mine
from semcascade._litellm import litellm
assert litellm() is mine
print(json.dumps({"silent": mine.suppress_debug_info, "mode": os.environ.get("LITELLM_MODE")}))
"""
    )
    assert found == {"silent": False, "mode": None}


def test_a_request_of_litellms_that_was_cancelled_before_it_began_is_no_news():
    code = """
import gc, json, warnings
from semcascade._litellm import litellm
litellm()
class OpenAIChatCompletion:
    async def acompletion(self): pass
class Mine:
    async def acompletion(self): pass
with warnings.catch_warnings(record=True) as told:
    OpenAIChatCompletion().acompletion()
    Mine().acompletion()
    gc.collect()
print(json.dumps([str(one.message) for one in told]))
"""
    assert run(code) == ["coroutine 'Mine.acompletion' was never awaited"]
