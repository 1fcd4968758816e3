"""Chat models to test, and what LangChain's standard suites expect of pytest plugins that this project runs without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from langchain_semcascade import ChatSemCascade
from semcascade import ScriptedTransport
from tests.support.openai_server import OpenAIServer

CHEAP = ("cheap-1", "cheap-2", "cheap-3")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "benchmark: from pytest-benchmark")
    config.addinivalue_line("markers", "vcr: from pytest-recording")


@pytest.fixture
def benchmark() -> Callable[[Callable[[], Any]], Any]:
    """Run it once; how long it takes is not the question here."""
    return lambda work: work()


@pytest.fixture
def vcr() -> None:
    """There is no recorded traffic."""


@pytest.fixture
def scripted() -> Callable[..., ChatSemCascade]:
    """Make a model of three cheap members and a target that answer from a script."""

    def make(cheap: Any = "4", large: Any = "four, says the large one", **settings: Any) -> ChatSemCascade:
        each = cheap if isinstance(cheap, tuple) else (cheap,) * 3
        script = ScriptedTransport(
            {**{f"m/{name}": say for name, say in zip(CHEAP, each, strict=True)}, "m/large": large}
        )
        cascade = {"ensemble": [f"m/{name}" for name in CHEAP], "target": "m/large"}
        return ChatSemCascade(**{**cascade, "transport": script, **settings})

    return make


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def over_http(server: OpenAIServer) -> Callable[..., ChatSemCascade]:
    """Make a model whose members are asked through LiteLLM, at the loopback service."""

    def make(**settings: Any) -> ChatSemCascade:
        cascade = {"ensemble": [server.member(name) for name in CHEAP], "target": server.member("large")}
        return ChatSemCascade(**{"max_retries": 0, **cascade, **settings})

    return make
