"""How the test service's replies go wrong, as `tests.support.faults` say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from aiohttp import web

from tests.support.faults import (
    Delay,
    EmptyChoices,
    Fault,
    Filtered,
    Huge,
    Malformed,
    NoUsage,
    NullContent,
    Redirect,
    Reset,
    Stall,
    Status,
    Truncated,
    Verbatim,
)


class BrokenOnPurposeError(Exception):
    """The connection is gone, as the fault says."""


def break_off(request: web.Request) -> NoReturn:
    """Cut the connection."""
    if request.transport is not None:
        request.transport.abort()
    raise BrokenOnPurposeError


async def hold(fault: Fault, sent: int | None) -> None:
    """Stall where the fault says so; a reply that is not streamed stalls in any case."""
    if isinstance(fault, Stall) and sent in (None, fault.after):
        fault.reached.set()
        await asyncio.shield(asyncio.wrap_future(fault.released))


async def instead(request: web.Request, faults: Sequence[Fault]) -> web.StreamResponse | None:
    """Return what is sent instead of any answer, if something is; wait where a fault says so."""
    for fault in faults:
        if isinstance(fault, Status):
            return error(fault)
        if isinstance(fault, Redirect):
            return web.Response(status=fault.code, headers={"Location": fault.to})
        if isinstance(fault, Verbatim):
            response = web.StreamResponse(headers={"Content-Type": fault.content_type})
            await response.prepare(request)
            for part in fault.parts:
                await response.write(part)
                await asyncio.sleep(0)
            await response.write_eof()
            return response
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
    return None


def error(fault: Status) -> web.Response:
    """Return a refusal as OpenAI words it."""
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    message = fault.message or f"The service answers with status {fault.code}."
    body = {"error": {"message": message, "type": "test_error", "param": None, "code": fault.kind or None}}
    return web.json_response(body, status=fault.code, headers=headers)


async def whole(request: web.Request, payload: dict[str, Any], faults: Sequence[Fault]) -> web.StreamResponse:
    """Send a reply in one piece, or what the faults leave of it."""
    for fault in faults:
        if isinstance(fault, Reset) and fault.after == 0:
            break_off(request)
        await hold(fault, sent=None)
    text = json.dumps(spoil(payload, faults), ensure_ascii=False)
    for fault in faults:
        if isinstance(fault, Malformed):
            text = fault.body
        if isinstance(fault, Truncated):
            text = text[: len(text) // 2]
        if isinstance(fault, Reset):
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            response.content_length = len(text.encode())
            await response.prepare(request)
            await response.write(text.encode()[: len(text) // 2])
            break_off(request)
    return web.Response(text=text, content_type="application/json")


def spoil(payload: dict[str, Any], faults: Sequence[Fault]) -> dict[str, Any] | None:
    """Return the payload or chunk with what is missing by fault; None: the chunk is not sent at all."""
    choices = payload.get("choices", [])
    ends = "data" in payload or any(choice.get("finish_reason") for choice in choices)
    for fault in faults:
        if isinstance(fault, NoUsage) and payload.pop("usage", None) is not None and not ends:
            return None
        if isinstance(fault, EmptyChoices):
            payload["data" if "data" in payload else "choices"] = []
        if isinstance(fault, NullContent | Filtered):
            _empty(payload)
        if isinstance(fault, Filtered) and ends:
            for choice in choices:
                choice["finish_reason"] = "content_filter"
        if isinstance(fault, Huge) and ends:
            payload["padding"] = "x" * fault.size
    return payload


def _empty(payload: dict[str, Any]) -> None:
    for one in payload.get("data", ()):
        one["embedding"] = None
    for choice in payload.get("choices", ()):
        for part in (choice.get("message"), choice.get("delta")):
            if part:
                part.update(content=None)
                part.pop("tool_calls", None)
