"""The most that one request may take, reckoned before it is sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from semcascade.config import Member
from semcascade.engine.budget import Spend
from semcascade.messages import Request, Usage
from semcascade.transport.base import Transport

__all__ = ["ASSUMED_OUTPUT", "most", "text_tokens"]

ASSUMED_OUTPUT = 1024
"""Tokens of an answer whose length nothing limits; a longer one may overshoot a cap, but none asked after it."""

_MEDIA_TOKENS = 2000
"""Tokens of an image, a sound or a file: what providers count for a large image."""

_WORDS = re.compile(r"(?:[^\W\d_]|\s)+")

_ASCII_WORDS = bytes(char for char in range(128) if _WORDS.match(chr(char)))
"""Taken out by this table, long prompts hold up nobody; a pattern is forty times as slow."""

_AROUND_MESSAGE = 8
"""Tokens that mark where a message begins, who speaks, and where it ends."""


def most(transport: Transport, member: Member, request: Request, *, answers: int = 1) -> Spend:
    """Return the most that a request takes.

    Prompts are reckoned by `text_tokens`, answers at `max_tokens`, or 1,024 tokens where that is not set. The cost
    is 0 where the price is unknown.
    """
    asked = sum(map(_message_tokens, request.messages)) + text_tokens(_dumped(request.tools, request.response_format))
    settings = {**member.params, **{key: value for key, value in request.params.items() if value is not None}}
    usage = Usage(asked, _longest(settings) * answers)
    cost = transport.price(member, usage)
    return Spend.of(1, usage.input_tokens + usage.output_tokens, cost or 0.0)


def _longest(settings: Mapping[str, Any]) -> int:
    """Return how long an answer may be; what is no length (-1: no limit, for some services) limits nothing."""
    for name in ("max_completion_tokens", "max_tokens"):
        said = settings.get(name)
        if isinstance(said, int | float) and math.isfinite(said) and said >= 1:
            return int(said)
    return ASSUMED_OUTPUT


def text_tokens(texts: Iterable[str]) -> int:
    """Return the most tokens that texts take, as far as that can be said without their tokenizer.

    Half a token for each byte, and half a one more for each digit and mark: about twice what English takes, and more
    than prose, code and JSON take in any language. Random characters (base64) may take a fifth more than that.

    >>> text_tokens(["What is the capital of Japan?"]), text_tokens(["3.14"])
    (15, 4)
    """
    return sum(map(_text_tokens, texts))


def _text_tokens(text: str) -> int:
    data = text.encode("utf-8", "replace")
    marks = data.translate(None, _ASCII_WORDS) if text.isascii() else _WORDS.sub("", text)
    return (len(data) + len(marks) + 1) // 2


def _message_tokens(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    rest = {key: value for key, value in message.items() if key != "content"}
    parts = content if isinstance(content, list | tuple) else ()
    texts = [content] if isinstance(content, str) else [str(part["text"]) for part in parts if "text" in part]
    media = sum("text" not in part for part in parts)
    return _AROUND_MESSAGE + text_tokens([*texts, *_dumped(rest)]) + media * _MEDIA_TOKENS


def _dumped(*values: Any) -> Iterable[str]:
    return (json.dumps(value, ensure_ascii=False, default=str) for value in values if value)
