"""The lean transport: OpenAI's chat interface over HTTP, and nothing between.

For OpenAI, vLLM, Ollama, Groq, Together, OpenRouter and all others that speak it. LiteLLM is the reference: the same
members give the same candidates and the same errors, at a fraction of the time a call takes. It neither repeats nor
caches nor follows redirects.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from semcascade.config import Member
from semcascade.decision import one_line
from semcascade.errors import (
    BadRequestError,
    ConnectionFailedError,
    MalformedReplyError,
    MemberError,
    MemberTimeoutError,
    MissingDependencyError,
)
from semcascade.messages import Candidate, Embeddings, Request, Usage
from semcascade.model_table import known_of, price_of
from semcascade.provider_errors import provider_error
from semcascade.redaction import redact
from semcascade.transport.base import Delta, configured_price
from semcascade.transport.openai_services import endpoint
from semcascade.transport.openai_shape import TabledTransport, shared_out, vectors_of
from semcascade.transport.openai_wire import (
    StreamReader,
    UnsendableError,
    answer,
    choices_of,
    embedding_payload,
    error_in,
    headers,
    misplaced,
    payload,
    refuse_error,
    usage_of,
)

if TYPE_CHECKING:
    from semcascade.transport.openai_http import HttpClient

__all__ = ["OpenAITransport"]


class OpenAITransport(TabledTransport):
    """Asks members by OpenAI's chat interface; members name it as `transport = "openai"`.

    Its connections are closed by `aclose`, with the event loop, or when it is no longer used.
    """

    def __init__(self) -> None:
        self._http: HttpClient | None = None

    async def complete(self, member: Member, request: Request, *, timeout: float, sample: int = 0) -> Candidate:
        """Ask for one whole answer."""
        with _typed(member, timeout):
            reply = await self._ask(member, request, timeout, {})
            return self._whole(member, reply, choices_of(reply)[0])

    async def complete_many(self, member: Member, request: Request, *, timeout: float, n: int) -> list[Candidate]:
        """Ask for several whole answers by one request."""
        with _typed(member, timeout):
            reply = await self._ask(member, request, timeout, {"n": n})
            choices = choices_of(reply)[:n]
            whole = self._whole(member, reply, choices[0])
            return list(shared_out([dataclasses.replace(whole, **answer(choice)) for choice in choices], whole))

    async def stream(self, member: Member, request: Request, *, timeout: float) -> AsyncIterator[Delta]:
        """Ask for one answer in pieces."""
        more = {"stream": True, "stream_options": {"include_usage": True}}
        reader = StreamReader()
        with _typed(member, timeout):
            sent = _sent(member, request, more)
            async with aclosing(self._client().events(*sent, timeout)) as events:
                async for event in events:
                    chunk = _parsed(event.data)
                    if event.name == "error":
                        raise error_in(chunk)
                    for delta in reader.read(chunk):
                        yield delta
            last = reader.end()
        if last.finish_reason is None:
            raise ConnectionFailedError("the stream ended before the answer did", member=member.name)
        yield dataclasses.replace(last, cost=self._price(member, last.usage, last.cost))

    async def embed(self, member: Member, texts: Sequence[str], *, timeout: float) -> Embeddings:
        """Ask for a vector for each text."""
        with _typed(member, timeout):
            place = endpoint(member)
            sent = place.url("embeddings"), embedding_payload(member, texts, place), headers(member.params, place)
            async with asyncio.timeout(timeout):
                reply = refuse_error(_parsed(await self._client().whole(*sent)))
            vectors = vectors_of(reply["data"], len(texts))
            usage, cost = usage_of(reply)
        return Embeddings(member.name, usage=usage, cost=self._price(member, usage, cost), vectors=vectors)

    async def prepare(self, member: Member) -> None:
        """Import the HTTP client and read the price table in a thread, where they do not hold up the event loop."""
        if self._http is None:
            self._http = await asyncio.to_thread(_http_client)

    def check(self, member: Member) -> None:
        """Refuse a member whose address or key is not known, or that would send what is not for the service."""
        endpoint(member)
        name = misplaced(member)
        if name is not None:
            message = f"{name} under params would be sent with every request; it belongs to the member itself"
            raise BadRequestError(message, member=member.name)

    def price(self, member: Member, usage: Usage) -> float | None:
        """Return the price by the model table, else by the member's settings, else None."""
        price = price_of(member.model, usage)
        return configured_price(member, usage) if price is None else price

    async def aclose(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._http is not None:
            await self._http.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def _client(self) -> HttpClient:
        if self._http is None:
            self._http = _http_client()
        return self._http

    async def _ask(self, member: Member, request: Request, timeout: float, more: Mapping[str, Any]) -> Any:
        sent = _sent(member, request, more)
        async with asyncio.timeout(timeout):
            return _parsed(await self._client().whole(*sent))

    def _whole(self, member: Member, reply: Any, choice: Mapping[str, Any]) -> Candidate:
        usage, cost = usage_of(reply)
        cost = self._price(member, usage, cost)
        return Candidate(member=member.name, usage=usage, cost=cost, model=reply.get("model"), **answer(choice))

    def _price(self, member: Member, usage: Usage | None, reported: float | None) -> float | None:
        return reported if usage is None or reported is not None else self.price(member, usage)


def _http_client() -> HttpClient:
    try:
        from semcascade.transport.openai_http import HttpClient  # aiohttp takes its time
    except ModuleNotFoundError as error:
        raise MissingDependencyError("aiohttp", extra="lean", purpose="transport = 'openai'") from error
    known_of("")
    return HttpClient()


def _sent(member: Member, request: Request, more: Mapping[str, Any]) -> tuple[str, bytes, dict[str, str]]:
    """Return address, body and headers of a request."""
    place = endpoint(member)
    found = headers({**member.params, **request.params}, place)
    return place.url("chat/completions"), payload(member, request, place, more), found


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON, but {body[:200].decode('utf-8', 'replace')!r}") from error


@contextmanager
def _typed(member: Member, timeout: float) -> Iterator[None]:
    """Turn whatever goes wrong into one of the library's errors."""
    try:
        yield
    except MemberError:
        raise
    except UnsendableError as error:
        said = one_line(redact(str(error), member.secrets()), 200)
        raise BadRequestError(said, member=member.name) from error
    except TimeoutError as error:
        raise MemberTimeoutError(f"no answer within its timeout of {timeout:g} s", member=member.name) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        said = str(error) if type(error) is ValueError else "it is not in OpenAI's shape"
        said = one_line(redact(said, member.secrets()), 200)
        message = f"what came back is not a reply: {said}; check that api_base is a chat service"
        raise MalformedReplyError(message, member=member.name) from error
    except Exception as error:
        raise provider_error(error, member) from error
