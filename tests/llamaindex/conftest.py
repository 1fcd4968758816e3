import asyncio
import inspect
from collections import Counter

import pytest
from llama_index.core import MockEmbedding, Settings

from tests.llamaindex.models import PRICES, SCATTER, scripted, served
from tests.support.openai_server import OpenAIServer

CONTRACT = "held to the contract"
COUNTED = "llamaindex: as the service saw it"


def pytest_terminal_summary(terminalreporter):
    """Tell how the contract suite ended for each LLM, and that what was counted is what the service saw."""
    outcomes = ("passed", "failed", "skipped", "xfailed", "xpassed")
    table = Counter(
        (properties[CONTRACT], outcome)
        for outcome in outcomes
        for report in terminalreporter.getreports(outcome)
        if CONTRACT in (properties := dict(getattr(report, "user_properties", ())))
    )
    if table:
        terminalreporter.section("the contract of LlamaIndex LLMs")
        terminalreporter.write_line("".join(f"{outcome:>9}" for outcome in outcomes))
        for who in dict.fromkeys(who for who, _ in table):
            terminalreporter.write_line("".join(f"{table[who, outcome]:>9}" for outcome in outcomes) + f"  {who}")
    reports = terminalreporter.getreports("passed")
    rows = [value for report in reports for name, value in report.user_properties if name == COUNTED]
    if rows:
        terminalreporter.section("SemCascade for LlamaIndex: counted as the service saw it")
        terminalreporter.write_line(f"{'mode':<40}{'requests':>9}{'tokens':>8}{'US dollars':>12}")
        for mode, requests, tokens, cost in sorted(rows):
            terminalreporter.write_line(f"{mode:<40}{requests:>9}{tokens:>8}{cost:>12.6f}")


@pytest.fixture
def counted_right(record_property):
    """Hold what decisions say against what the service saw."""

    def check(server, decisions, mode):
        asked, said = server.tokens()
        candidates = [candidate for decision in decisions for candidate in decision["candidates"]]
        assert len(candidates) == len(server.asked())
        assert sum(candidate["input_tokens"] for candidate in candidates) == asked
        assert sum(candidate["output_tokens"] for candidate in candidates) == said
        cost = sum(decision["cost"] for decision in decisions)
        assert cost == pytest.approx(asked * PRICES["input_cost_per_token"] + said * PRICES["output_cost_per_token"])
        record_property(COUNTED, (mode, len(candidates), asked + said, cost))

    return check


@pytest.fixture(scope="session")
def service():
    """One service for all tests that need no script: LiteLLM keeps clients for each address it has seen."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="session")
def scattered_service():
    """A service whose cheap models never agree."""
    with OpenAIServer(dict(SCATTER)) as server:
        yield server


@pytest.fixture(params=["agreed", "deferred", "served"])
def llm(request, service):
    """The cascade: its members agree, its target answers, or all of it over HTTP."""
    if request.param == "served":
        return served(service)
    return scripted(SCATTER if request.param == "deferred" else None)


@pytest.fixture
def settings(llm):
    """LlamaIndex's settings with the cascade as their LLM."""
    kept = dict(vars(Settings))
    Settings.llm, Settings.embed_model = llm, MockEmbedding(embed_dim=8)
    yield Settings
    vars(Settings).update(kept)


@pytest.fixture(autouse=True)
def _loop_of_synchronous_tests(request):
    """LlamaIndex's synchronous code makes a loop where there is none, and never closes it."""
    if inspect.iscoroutinefunction(request.function):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
