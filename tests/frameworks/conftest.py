"""Frameworks that ask their models through LiteLLM, where they are installed: `pip install '.[frameworks]'`."""

import pytest

from semcascade.litellm import register, registered, unregister
from tests.litellm.helpers import members
from tests.support.openai_server import OpenAIServer


@pytest.fixture
def server(monkeypatch):
    """A service whose models answer by a script; everything goes to a cascade called `semcascade/test`."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def cascade(server):
    """The cascade that the frameworks ask by name."""
    yield register("test", **members(server))
    for name in registered():
        unregister(name)
