"""The lean transport by its name: in files, in the shell, in both frameworks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from langchain_semcascade import ChatSemCascade
from llamaindex_semcascade import SemCascade
from semcascade import Cascade
from semcascade.cli.app import run
from tests.support.openai_server import OpenAIServer

SETTINGS = """
[target]
model = "openai/t"
api_base = "BASE"
transport = "openai"

[[ensemble]]
model = "openai/a"
api_base = "BASE"
transport = "openai"
samples = 2
"""


@pytest.fixture
def file(running: OpenAIServer, tmp_path: Path) -> Path:
    running.heal()
    running.requests.clear()
    running.script |= {"a": "Tokyo", "t": "It is Tokyo"}
    path = tmp_path / "lean.toml"
    path.write_text(SETTINGS.replace("BASE", running.base_url))
    return path


@pytest.fixture(autouse=True)
def _only_lean(running: OpenAIServer):
    yield
    agents = {request.headers["User-Agent"].partition("/")[0] for request in running.requests}
    assert agents <= {"semcascade"}
    running.script["a"] = "Tokyo it is"


def test_a_file_names_it(file: Path, running: OpenAIServer):
    with Cascade.from_file(file) as cascade:
        assert cascade.complete("Where?").text == "Tokyo"
    assert len(running.asked()) == 1


def test_the_shell_asks_and_examines_by_it(file: Path, running: OpenAIServer, capsys):
    assert run(["ask", "-c", str(file), "Where?"]) == 0
    assert capsys.readouterr().out.startswith("Tokyo")
    assert run(["doctor", "-c", str(file), "--ask", "--json"]) == 0
    members = json.loads(capsys.readouterr().out)["members"]
    assert [member["answer"] for member in members] == ["Tokyo", "It is Tokyo"]
    file.write_text(file.read_text().replace("openai/t", "nobody/t").replace(f'api_base = "{running.base_url}"', ""))
    assert run(["doctor", "-c", str(file), "--json"]) == 1
    problems = [member["problem"] for member in json.loads(capsys.readouterr().out)["members"]]
    assert "no key: set the environment variable OPENAI_API_KEY" in problems[0]
    assert "give the member api_base" in problems[1]


def test_langchain_asks_by_it(file: Path):
    model = ChatSemCascade(config=str(file))
    assert model.invoke("Where?").text == "Tokyo"
    assert "".join(chunk.text for chunk in model.stream("Where?")) == "Tokyo"


async def test_llamaindex_asks_by_it(file: Path):
    llm = SemCascade(config=str(file))
    assert llm.complete("Where?").text == "Tokyo"
    assert (await llm.acomplete("Where?")).text == "Tokyo"
