"""What every test shares: no network but the loopback, no keys of whoever runs them."""

import os
import re

import pytest
from hypothesis import settings
from pytest_socket import socket_allow_hosts

from semcascade.memory import Memory

# How long an example takes says more about the machine than about the code.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

_KEYS = re.compile(r"(API_KEY|_TOKEN|ACCESS_KEY.*)$")


@pytest.fixture(autouse=True)
def _offline(request, monkeypatch):
    """Block every address but the loopback; tests marked `network` fetch from the package index."""
    if request.node.get_closest_marker("network") is None:
        socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
    for name in list(os.environ):
        if _KEYS.search(name):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _memory(tmp_path_factory):
    memory = Memory(tmp_path_factory.mktemp("memory") / "worked-out.sqlite")
    yield memory
    memory.flush()


@pytest.fixture(autouse=True)
def _remembering_apart(_memory, monkeypatch):
    """Keep what is worked out in tests out of the cache of whoever runs them."""
    monkeypatch.setattr("semcascade.memory._memory_at", lambda path: _memory)
