"""The examples as strangers run them, at a service that stands in for all providers; they print what the README shows."""

import difflib
import io
import re
import runpy
import sys
from pathlib import Path

import pytest
from llama_index.core import Settings
from llama_index.core.instrumentation import get_dispatcher

from tests.support.brain import question_of, text_of
from tests.support.openai_server import OpenAIServer, Reply

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
README = (EXAMPLES / "README.md").read_text(encoding="utf-8")
PROVIDERS = ("OPENAI", "DEEPSEEK", "MISTRAL")
CHEAP = ("gpt-5-nano", "deepseek-chat", "mistral-small-latest")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run an example as a script; what it asks goes to a service on the loopback."""

    def script_run(name, *arguments, script, typed=""):
        with OpenAIServer(script) as server:
            for provider in PROVIDERS:
                monkeypatch.setenv(f"{provider}_API_KEY", "none")
                monkeypatch.setenv(f"{provider}_API_BASE", server.base_url)
            monkeypatch.setattr(sys, "argv", [name, *arguments])
            monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
            kept = dict(vars(Settings))
            monkeypatch.setattr(get_dispatcher(), "event_handlers", list(get_dispatcher().event_handlers))
            try:
                runpy.run_path(str(EXAMPLES / name), run_name="__main__")
            finally:
                vars(Settings).update(kept)
            return capsys.readouterr().out, [request.model for request in server.asked()]

    return script_run


def shown(command):
    """Return what the README says that a command prints."""
    return re.search(rf"^\$ {re.escape(command)}\n(.*?)(?=^\$ |^```$)", README, flags=re.MULTILINE | re.DOTALL)[1]


def agent(body):
    """Ask for one city, then for the other, then say which is warmer."""
    results = [text_of(message) for message in body["messages"] if message["role"] == "tool"]
    if len(results) == 2:
        return "Rome is warmer: 24 °C against 9 °C."
    return Reply(tool_calls=[("temperature", {"city": ["Rome", "Oslo"][len(results)]})])


def saying(answer):
    """Call tools as the others do, but answer unlike them."""
    return lambda body: said if isinstance(said := agent(body), Reply) else answer


AGENTS = {
    "gpt-5-nano": agent,
    "deepseek-chat": saying("It depends on the season, doesn't it?"),
    "mistral-small-latest": saying("I would rather talk about ferries to Norway."),
    "gpt-5": agent,
}


@pytest.mark.parametrize("name", ["langchain_agent.py", "llamaindex_agent.py"])
def test_agents(run, name):
    printed, asked = run(name, script=AGENTS)
    assert printed == shown(f"python examples/{name}")
    assert asked.count("gpt-5") == 1


def knowing(capital, guess):
    return lambda body: capital if "capital" in question_of(body) else guess


def test_the_graph(run):
    def large(body):
        if "Is that right?" in question_of(body):
            return "No: a hill tells nothing of sheep."
        return knowing("Tokyo", "23")(body)

    script = {name: knowing("Tokyo", guess) for name, guess in zip(CHEAP, ("12", "7", "9"), strict=True)}
    printed, asked = run("langgraph_decision.py", script={**script, "gpt-5": large})
    assert printed == shown("python examples/langgraph_decision.py")
    assert asked.count("gpt-5") == 2


def test_the_chat(run):
    def large(body):
        return f"You have asked me {sum(m['role'] == 'user' for m in body['messages'])} times.\x1b"

    script = {
        name: knowing("Tokyo.", guess) for name, guess in zip(CHEAP, ("Once", "Never!", "Who counts?"), strict=True)
    }
    typed = "What is the capital of Japan?\nHow often have I asked you?\n\n"
    printed, _ = run("terminal_chat.py", script={**script, "gpt-5": large}, typed=typed)
    assert "\x1b" not in printed
    first, *turns = printed.split("you: ")
    seen = first + "".join(f"you: {said}\n{turn}" for said, turn in zip(typed.splitlines(), turns, strict=True))
    assert without_costs(seen) == without_costs(shown("python examples/terminal_chat.py"))


def without_costs(text):
    """Prices change; how a terminal shows an empty line does not matter."""
    return re.sub(r" calls, .*", " calls", re.sub(r" +$", "", text, flags=re.MULTILINE)).strip()


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("lcel_chain.py", slice(None)),
        ("llamaindex_rag.py --scripted | grep ^=", "="),
        ("async_batch.py --scripted | tail -1", slice(-1, None)),
    ],
)
def test_those_that_need_nobody(run, command, kept):
    name, *arguments = command.partition(" |")[0].split()
    printed, asked = run(name, *arguments, script={})
    lines = printed.splitlines()
    lines = lines[kept] if isinstance(kept, slice) else [line for line in lines if line.startswith(kept)]
    assert lines == shown(f"python examples/{command}").splitlines()
    assert asked == []


def difference(before, after):
    """Return the lines that two files differ in."""
    lines = [(EXAMPLES / "migration" / name).read_text(encoding="utf-8").splitlines() for name in (before, after)]
    return [line for line in difflib.unified_diff(*lines, lineterm="", n=0) if re.match(r"[-+][^-+]", line)]


@pytest.mark.parametrize("framework", ["langchain", "llamaindex"])
class TestMigration:
    def test_it_is_one_line_and_its_import(self, framework):
        changed = difference(f"{framework}_before.py", f"{framework}_after.py")
        assert [line[0] for line in changed] == ["-", "+", "-", "+"]
        assert ["import" in line for line in changed] == [True, True, False, False]
        assert "\n".join(changed) in README

    def test_both_run(self, run, framework):
        answers = dict.fromkeys(
            [*CHEAP, "gpt-5"], lambda body: "31 metres" if "Brava" in question_of(body) else "Tokyo"
        )
        expected = {"langchain": "Tokyo\n", "llamaindex": "31 metres\n"}[framework]
        printed, asked = run(f"migration/{framework}_after.py", script=answers)
        assert printed == expected
        assert "gpt-5" not in asked
        source = (EXAMPLES / "migration" / f"{framework}_before.py").read_text(encoding="utf-8")
        compile(source, f"{framework}_before.py", "exec")
        pytest.importorskip({"langchain": "langchain_openai", "llamaindex": "llama_index.llms.openai"}[framework])
        printed, asked = run(f"migration/{framework}_before.py", script=answers)
        assert (printed, asked) == (expected, ["gpt-5"])


def test_the_readme_lists_every_example():
    here = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")}
    assert set(re.findall(r"`((?:migration/)?\w+\.py)`", README)) == here
