import asyncio
import inspect

import pytest
from llama_index.core import MockEmbedding, Settings

from tests.llamaindex.models import SCATTER, scripted, served
from tests.support.openai_server import OpenAIServer


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
