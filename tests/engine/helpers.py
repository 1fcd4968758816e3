"""What the engine's tests share: scripts, prices, a transport that never answers."""

import asyncio
import threading

from semcascade import Cascade, Delta, ScriptedTransport, Transport

QUESTION = "What is the capital of Japan?"
AGREE = {"a": "Tokyo", "b": "Tokyo.", "c": "tokyo", "t": "It is Tokyo."}
SCATTER = {"a": "Tokyo", "b": "Kyoto", "c": "Osaka", "t": "It is Tokyo."}
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
NO_RETRY = {"max_retries": 0}


def cascade(script, **settings):
    settings = {"ensemble": ["a", "b", "c"], "target": "t", **NO_RETRY, **settings}
    return Cascade(transport=ScriptedTransport(script), **settings)


def asked(c):
    return [name for name, _ in c._transports.default.requests]


class Never(Transport):
    """Never answers."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.started = threading.Event()

    async def complete(self, member, request, *, timeout, sample=0):
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def stream(self, member, request, *, timeout):
        yield Delta(text="first ")
        await self.complete(member, request, timeout=timeout)
