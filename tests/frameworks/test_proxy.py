"""A LiteLLM Proxy that serves a cascade, set up as the README says: `pip install 'litellm[proxy]'` elsewhere."""

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

import semcascade
from tests.litellm.helpers import SCATTERED, WEATHER, members
from tests.support.openai_server import OpenAIServer

README = (Path(semcascade.__file__).parent / "README.md").read_text(encoding="utf-8")
BOOTS_WITHIN_S = 150

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """The address of a proxy, and the service that its cascade asks."""
    for package in ("fastapi", "apscheduler", "backoff"):
        pytest.importorskip(package, reason="litellm[proxy] is not installed")
    home, port = tmp_path_factory.mktemp("proxy"), free_port()
    with OpenAIServer(dict(SCATTERED)) as server:
        (home / "cascade.json").write_text(json.dumps(members(server)))
        (home / "config.yaml").write_text(re.search(r"```yaml\n(# config.yaml.*?)```", README, re.DOTALL)[1])
        module = re.search(r"```python\n(# cascades.py.*?)```", README, re.DOTALL)[1]
        (home / "cascades.py").write_text(re.sub(r'ensemble=.*"\)$', '"cascade.json")', module, flags=re.MULTILINE))
        environment = os.environ | {"LITELLM_MASTER_KEY": "sk-test", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        command = ["litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
        with (home / "log").open("wb") as log:
            started = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/health/liveliness", home / "log")
            yield f"http://127.0.0.1:{port}/v1/chat/completions", server
        finally:
            started.terminate()
            started.wait(30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address, log):
    end = time.monotonic() + BOOTS_WITHIN_S
    while time.monotonic() < end:
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(log.read_text())


def ask(address, **body):
    messages = [{"role": "user", "content": 'What does weather say of "Rome"?'}]
    headers = {"Authorization": "Bearer sk-test"}
    return httpx.post(address, headers=headers, json={"model": "cheap-first", "messages": messages, **body}, timeout=60)


def test_an_answer_its_decision_and_its_cost(proxy):
    address, server = proxy
    before = server.tokens()
    answer = ask(address)
    message = answer.json()["choices"][0]["message"]
    assert message["content"] == "The capital is Paris."
    assert not message["provider_specific_fields"]["semcascade"]["accepted"]
    asked, said = (after - then for after, then in zip(server.tokens(), before, strict=True))
    assert float(answer.headers["x-litellm-response-cost"]) == pytest.approx(asked * 1e-6 + said * 2e-6)


def test_a_stream(proxy):
    lines = [line.removeprefix("data: ") for line in ask(proxy[0], stream=True).text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "The capital is Paris."


def test_tools(proxy):
    address, server = proxy
    server.script.clear()
    (call,) = ask(address, tools=[WEATHER]).json()["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}


def test_an_error(proxy):
    answer = ask(proxy[0], n=3)
    assert answer.status_code == 400
    assert "n: it cannot be given per call" in answer.json()["error"]["message"]
