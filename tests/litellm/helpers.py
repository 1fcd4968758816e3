"""What the tests of the LiteLLM provider share: four ways to ask, and what each of them brings."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from semcascade._litellm import finish_logging, litellm

WAYS = ("completion", "acompletion", "stream", "astream")
MEMBERS = ("cheap-1", "cheap-2", "cheap-3")
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
SCATTERED = {"cheap-1": "Lyon", "cheap-2": "Nice", "cheap-3": "Metz", "big": "The capital is Paris."}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def members(server, **settings) -> dict[str, Any]:
    """Return the settings of a cascade that asks the service, all members to the end."""
    settings = {**PRICES, **settings}
    return {
        "ensemble": [server.member(name, **settings) for name in MEMBERS],
        "target": server.member("big", **settings),
        "max_retries": 0,
        "early_exit": "off",
    }


def ask(way: str, name: str, said: str | Sequence[Mapping[str, Any]], **options: Any) -> Any:
    """Ask a registered cascade in one of four ways; a stream's chunks are put together as LiteLLM does it."""
    messages = [{"role": "user", "content": said}] if isinstance(said, str) else list(said)
    arguments = {"model": f"semcascade/{name}", "messages": messages, **options}
    if options.get("tools"):
        arguments["_skip_mcp_handler"] = True  # else LiteLLM wants the package mcp
    if way == "completion":
        return litellm().completion(**arguments)
    if way == "acompletion":
        return asyncio.run(_reported(litellm().acompletion(**arguments)))
    if way == "stream":
        return litellm().stream_chunk_builder(list(litellm().completion(stream=True, **arguments)))
    return litellm().stream_chunk_builder(asyncio.run(_reported(_chunks(arguments))))


async def _chunks(arguments: dict[str, Any]) -> list[Any]:
    return [chunk async for chunk in await litellm().acompletion(stream=True, **arguments)]


async def _reported(asking: Coroutine[Any, Any, Any]) -> Any:
    """Wait for an answer, and until LiteLLM has reported it, which it does on the same loop."""
    try:
        return await asking
    finally:
        await finish_logging()


def decision(response: Any) -> dict[str, Any]:
    """Return the decision that came with a response."""
    hidden = response._hidden_params
    told: dict[str, Any] = hidden.get("provider_specific_fields", hidden)["semcascade"]
    return told


def text(response: Any) -> str | None:
    said: str | None = response.choices[0].message.content
    return said
