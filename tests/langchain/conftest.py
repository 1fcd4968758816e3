"""Chat models to test, and what LangChain's standard suites expect of pytest plugins that this project runs without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage

from langchain_semcascade import ChatSemCascade
from semcascade import ScriptedTransport
from tests.support.openai_server import OpenAIServer

CHEAP = ("cheap-1", "cheap-2", "cheap-3")
DIFFER = ("Paris", "Rome", "Oslo")
ASK = "What is 2 + 2?"


def summed(chunks: Iterable[Any]) -> Any:
    """Return what the pieces of a stream add up to."""
    first, *rest = chunks
    return sum(rest, start=first)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "benchmark: from pytest-benchmark")
    config.addinivalue_line("markers", "vcr: from pytest-recording")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell how LangChain's own suites ended, and that what was counted is what the service saw."""
    outcomes = ("passed", "failed", "skipped", "xfailed", "xpassed")
    counts = {
        outcome: sum("langchain/test_standard.py" in report.nodeid for report in terminalreporter.getreports(outcome))
        for outcome in outcomes
    }
    reports = terminalreporter.getreports("passed")
    rows = [value for report in reports for name, value in report.user_properties if name == COUNTED]
    if any(counts.values()):
        terminalreporter.section("LangChain's standard tests on ChatSemCascade")
        terminalreporter.write_line("  ".join(f"{counts[outcome]} {outcome}" for outcome in outcomes))
    if rows:
        terminalreporter.section("ChatSemCascade: counted as the service saw it")
        terminalreporter.write_line(f"{'mode':<34}{'requests':>9}{'tokens':>8}{'US dollars':>12}")
        for mode, requests, tokens, cost in sorted(rows):
            terminalreporter.write_line(f"{mode:<34}{requests:>9}{tokens:>8}{cost:>12.6f}")


COUNTED = "as the service saw it"

PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


@pytest.fixture
def priced(server: OpenAIServer, over_http: Callable[..., ChatSemCascade]) -> ChatSemCascade:
    """A model of which every member has a price."""
    cheap, large = [server.member(name, **PRICES) for name in CHEAP], server.member("large", **PRICES)
    return over_http(ensemble=cheap, target=large)


@pytest.fixture
def counted_right(
    server: OpenAIServer, record_property: Callable[[str, object], None]
) -> Callable[[ChatSemCascade, list[AIMessage], UsageMetadataCallbackHandler, str], None]:
    """Hold what messages, handlers and the ledger say against what the service saw."""

    def check(model: ChatSemCascade, messages: list[AIMessage], usage: UsageMetadataCallbackHandler, mode: str) -> None:
        asked, said = server.tokens()
        cost, requests = asked * 1e-6 + said * 2e-6, len(server.asked())
        decisions = [message.response_metadata["semcascade"] for message in messages]
        summary = model.cascade.ledger.summary()
        assert sum(decision["cost"] for decision in decisions) == pytest.approx(cost)
        assert summary.cost == pytest.approx(cost)
        candidates = [candidate for decision in decisions for candidate in decision["candidates"]]
        assert len(candidates) == requests
        tokens = sum(candidate["input_tokens"] + candidate["output_tokens"] for candidate in candidates)
        assert tokens == asked + said
        by_message = sum(message.usage_metadata["total_tokens"] for message in messages)
        assert sum(one["total_tokens"] for one in usage.usage_metadata.values()) == by_message
        record_property(COUNTED, (mode, requests, tokens, summary.cost))

    return check


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
