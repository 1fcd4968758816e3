"""What every test shares: no network but the loopback, no keys of whoever runs them."""

import os
import re

import pytest
from hypothesis import settings
from pytest_socket import socket_allow_hosts

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
