"""The example and the README's snippets run as they stand, with a script in place of the providers."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import langchain_semcascade
from langchain_semcascade import ChatSemCascade
from semcascade import Candidate, Request, ScriptedTransport, ToolCall
from tests.support.openai_server import brain

ROOT = Path(__file__).parents[2]


def test_the_chain():
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "lcel_chain.py"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}", "PATH": ""},
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["What is the capital of Japan? -> Tokyo", "How many sheep are behind the hill? -> 23"]
    assert lines[-1] == "so far: 67% of the questions went to the large model"
    assert done.stderr == ""


def _think(request: Request) -> Candidate:
    body = {"messages": request.messages, "tools": request.tools, "tool_choice": request.tool_choice}
    reply = brain({**body, "response_format": request.response_format})
    calls = tuple(ToolCall(name, str(arguments).replace("'", '"'), "c1") for name, arguments in reply.tool_calls)
    return Candidate("", text=reply.text or "", tool_calls=calls, finish_reason="tool_calls" if calls else "stop")


def test_the_readme(monkeypatch, capsys):
    offline = functools.partial(ChatSemCascade, transport=ScriptedTransport({"*": _think}))
    monkeypatch.setattr(langchain_semcascade, "ChatSemCascade", offline)
    text = (ROOT / "langchain_semcascade" / "README.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 4
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "True 1.0 accepted openai/gpt-5-nano" in said
    assert "'args': {'city': 'Tokyo'}" in said
    assert "name='Tokyo'" in said
