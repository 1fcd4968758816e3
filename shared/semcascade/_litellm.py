"""The one door to LiteLLM: imported when first needed, set up so that it minds its own business."""

from __future__ import annotations

import asyncio
import atexit
import functools
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = [
    "close_clients",
    "finish_logging",
    "finish_own_logging",
    "litellm",
    "not_reported_itself",
    "part_of_a_call",
    "quiet",
    "was_imported",
]

_ENVIRONMENT = {
    # Without it the import fetches a price table from the network and waits for it.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Without it the import reads a .env file from wherever the user happens to be.
    "LITELLM_MODE": "PRODUCTION",
}

_BEGUN_IN_VAIN = r"coroutine '(OpenAI|Azure|BaseLLMHTTPHandler|\w+ChatCompletion)\w*\.\w+' was never awaited"
"""LiteLLM makes a coroutine in a thread and awaits it behind that; where it is cancelled meanwhile, it never does."""

_NO_NAME = "_no_name_of_litellm"
"""The first name that it must look for lets LiteLLM register what it does at exit, before which `EngineLoop` ends."""


@functools.cache
def litellm() -> Any:
    """Import LiteLLM, once, and return the module.

    The variables that its import looks at are set unless the user has set them. Where the user imported LiteLLM
    before, all stays as it is.
    """
    known = "litellm" in sys.modules
    if not known:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    module: Any = importlib.import_module("litellm")
    if not known:
        module.suppress_debug_info = True
        module.telemetry = False
        warnings.filterwarnings("ignore", _BEGUN_IN_VAIN, RuntimeWarning)
        atexit.register(_close_synchronous_clients)
    getattr(module, _NO_NAME, None)
    return module


@contextmanager
def quiet() -> Iterator[None]:
    """Let LiteLLM print nothing of its own accord meanwhile, also where others imported it before.

    Only whoever owns the process's standard output may say so.
    """
    module = sys.modules.get("litellm")
    before = getattr(module, "suppress_debug_info", True)
    try:
        if module is not None:
            module.suppress_debug_info = True  # type: ignore[attr-defined]
        yield
    finally:
        if module is not None:
            module.suppress_debug_info = before  # type: ignore[attr-defined]


@contextmanager
def part_of_a_call() -> Iterator[None]:
    """Mark what is begun within as part of another call of LiteLLM, which reports and bills it as a whole.

    Its worker for reports moves to whatever event loop reported last; with the outer call on one loop and the inner
    ones on another, it would lose its work at each turn, and say so.
    """
    mark = _mark()
    if mark is None:
        yield
        return
    before = mark.set(True)
    try:
        yield
    finally:
        mark.reset(before)


def not_reported_itself() -> dict[str, bool]:
    """Return LiteLLM's parameters for a call that another one reports, and none for any other."""
    mark = _mark()
    return {"no-log": True} if mark is not None and mark.get() else {}


def _mark() -> Any:
    return getattr(sys.modules.get("litellm._internal_context"), "is_internal_call", None)


def was_imported() -> bool:
    """Say whether LiteLLM is there, all of it, and has registered what it does at exit."""
    return litellm.cache_info().currsize > 0


async def finish_own_logging() -> None:
    """Finish what LiteLLM logs on this loop; what it logs on a loop of the user's is for it to finish."""
    module = sys.modules.get("litellm.litellm_core_utils.logging_worker")
    worker: Any = getattr(module, "GLOBAL_LOGGING_WORKER", None)
    if getattr(worker, "_bound_loop", None) is asyncio.get_running_loop():
        await finish_logging()


async def finish_logging() -> None:
    """Let LiteLLM call the callbacks it still owes, for a second at most, and end its worker quietly."""
    module = sys.modules.get("litellm.litellm_core_utils.logging_worker")
    worker: Any = getattr(module, "GLOBAL_LOGGING_WORKER", None)
    if worker is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(worker.flush(), 1.0)
        await worker.stop()


async def close_clients() -> None:
    """Close the clients that LiteLLM keeps for the whole process, if it was ever imported; other users lose theirs."""
    closing = getattr(sys.modules.get("litellm"), "close_litellm_async_clients", None)
    if closing is not None:
        await closing()


def _close_synchronous_clients() -> None:
    """Close the clients that LiteLLM keeps for synchronous calls; at exit it closes the others only."""
    cache = getattr(sys.modules.get("litellm"), "in_memory_llm_clients_cache", None)
    for client in [*getattr(cache, "cache_dict", {}).values()]:
        close = getattr(client, "close", None)
        if close is not None and not inspect.iscoroutinefunction(close):
            with suppress(Exception):  # whatever clients there are, the interpreter must end
                close()
