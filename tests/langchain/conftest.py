"""What LangChain's standard suites expect of pytest plugins that this project runs without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


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
