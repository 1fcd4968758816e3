"""LLMs for the tests: cascades over a script and over a service on the loopback, both with the same brain."""

import json

from llamaindex_semcascade import SemCascade
from semcascade import Candidate, ScriptedTransport, ToolCall
from tests.support.brain import brain

MEMBERS = ["cheap-1", "cheap-2", "cheap-3"]
SCATTER = {name: f"quite another answer: {index * 1111}" for index, name in enumerate(MEMBERS)}
"""A script by which the members never agree, so that the target answers."""


def as_body(request):
    """Return a request as the body that a service would get."""
    body = {"messages": [dict(message) for message in request.messages], **request.params}
    if request.tools:
        body |= {"tools": request.tools, "tool_choice": request.tool_choice}
    if request.response_format:
        body["response_format"] = request.response_format
    return body


def think(request):
    """Answer a request as the service does."""
    reply = brain(as_body(request))
    calls = tuple(
        ToolCall(name, arguments if isinstance(arguments, str) else json.dumps(arguments), f"call_{place}")
        for place, (name, arguments) in enumerate(reply.tool_calls)
    )
    return Candidate("", text=reply.text or "", tool_calls=calls, finish_reason="tool_calls" if calls else "stop")


def scripted(script=None, **settings):
    """Return a cascade over a script; members without an entry have a brain."""
    return SemCascade(
        ensemble=MEMBERS, target="big", transport=ScriptedTransport({"*": think, **(script or {})}), **settings
    )


PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 3e-6}


def served(server, **settings):
    """Return a cascade that asks a service through LiteLLM, all members to the end; prices are every member's."""
    prices = {name: settings.pop(name) for name in PRICES if name in settings}
    return SemCascade(
        ensemble=[server.member(name, **prices) for name in MEMBERS],
        target=server.member("big", **prices),
        **{"max_retries": 0, "early_exit": "off", **settings},
    )
