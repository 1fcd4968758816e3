"""A service and the lean transport to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from semcascade.engine.loop import EngineLoop
from semcascade.transport.openai import OpenAITransport
from tests.support.openai_server import OpenAIServer


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with OpenAIServer({"a": "Tokyo it is"}) as server:
        yield server


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    running.heal()
    running.requests.clear()
    return running


@pytest.fixture(scope="module")
def transport() -> Iterator[OpenAITransport]:
    lean = OpenAITransport()
    yield lean
    EngineLoop.shared().run(lean.aclose())
