"""The lean transport's HTTP client: aiohttp, which costs a fifteenth of httpx a call.

Measured on one loopback service, 32 requests at a time, two shared x86-64 cores, CPU a call: aiohttp 0.15 ms, the same
looking up proxies anew each time 0.66 ms, httpx 2.1 ms, the openai client 3.0 ms, LiteLLM 3.8 ms
(`python -m tests.benchmarks.transports`).
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import io
import ipaddress
import json
import os
import ssl
import urllib.request
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from semcascade import __version__
from semcascade.transport.openai_sse import Event, EventDecoder
from semcascade.transport.openai_wire import ServiceError, UnsendableError, error_in

__all__ = ["LARGEST_REPLY", "MOST_CONNECTIONS", "HttpClient"]

LARGEST_REPLY = 64 * 2**20
"""Bytes, after decompression, that one reply may have; what is longer is refused, not kept."""

MOST_CONNECTIONS = 512
"""Requests that one client sends at a time; more wait. Half of the files that a process may usually open."""

_USER_AGENT = f"semcascade/{__version__}"
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_LONGEST_ERROR = 64 * 2**10
_LINGER_S = 0.05
_LARGE_BODY = 2**20
"""Bytes that are sent at one go; of more (images), other requests get their turns in between."""


class HttpClient:
    """Keeps connections for the event loop it is used on; made anew on another loop, or after a fork.

    A task of that loop holds them. So they end with the loop, with `aclose`, or with the client itself.
    """

    def __init__(self) -> None:
        self._tls = _tls_context(*map(os.environ.get, _CERTIFICATES))
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._proxies: dict[str, str | None] = {}

    async def whole(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Send a body and return that of the reply.

        Raises:
            UnsendableError: If the request cannot be sent as it is.
            ServiceError: If the service refuses.
            ValueError: If the reply is larger than `LARGEST_REPLY`.
            aiohttp.ClientError: If there is no connection, or it breaks.
        """
        async with self._post(url, body, headers) as response:
            return await _read(response)

    async def events(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> AsyncGenerator[Event, None]:
        """Send a body and yield the events of the reply up to [DONE]; closing the generator closes the connection.

        A service that answers with plain JSON, streaming or not, has sent one event. `timeout` bounds the wait for the
        response and for each part of it.

        Raises:
            TimeoutError: If nothing comes in time.
            UnsendableError: If the request cannot be sent as it is.
            ServiceError: If the service refuses.
            ValueError: If the reply is no stream of events, or larger than `LARGEST_REPLY`.
            aiohttp.ClientError: If there is no connection, or it breaks.
        """
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(timeout):
                response = await stack.enter_async_context(self._post(url, body, headers))
                plain = await _read(response) if response.content_type == "application/json" else None
            if plain is not None:
                yield Event(plain)
                return
            seen = False
            async for event in await stack.enter_async_context(aclosing(_events(response, timeout))):
                if event.data == b"[DONE]":
                    await _linger(response)
                    return
                seen = True
                yield event
            if not seen:
                raise ValueError(f"no events, but {response.content_type}")

    @asynccontextmanager
    async def _post(
        self, url: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Send a body and give the response, its body unread; leaving it early closes the connection.

        Redirects are not followed: keys must not go where they were not meant for.
        """
        session = self._open()
        try:
            response = await session.post(
                url,
                data=body if len(body) < _LARGE_BODY else io.BytesIO(body),
                headers={"Content-Type": "application/json", "User-Agent": _USER_AGENT, **headers},
                allow_redirects=False,
                proxy=self._proxy(url),
            )
        except ValueError as error:  # an address, a header or a proxy that cannot be; nothing was sent
            raise UnsendableError(f"the request cannot be sent: {error}") from error
        async with response:
            if response.status >= 300:
                raise await _refusal(response)
            yield response

    async def aclose(self) -> None:
        """Close all connections; the next request opens new ones."""
        keeper, self._keeper, self._session = self._keeper, None, None
        if self._finalizer is not None:
            self._finalizer()
        if keeper is not None and self._loop is asyncio.get_running_loop():
            await asyncio.wait([keeper])

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            if self._finalizer is not None:
                self._finalizer()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS, ssl=self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            )
            self._loop, self._keeper = loop, loop.create_task(_hold(self._session), name="semcascade-connections")
            self._finalizer = weakref.finalize(self, _let_go, loop, self._keeper, os.getpid())
        return self._session

    def _proxy(self, url: str) -> str | None:
        """Return the proxy that the environment names for an address; looked up once, as that takes long."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._proxies:
            self._proxies[origin] = _proxy_of_environment(parts.scheme, parts.hostname or "")
        return self._proxies[origin]


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await response.content.readany():
        size += len(part)
        _bound(size)
        parts.append(part)
    return b"".join(parts)


async def _events(response: aiohttp.ClientResponse, timeout: float) -> AsyncGenerator[Event, None]:
    decoder, size = EventDecoder(), 0
    while True:
        async with asyncio.timeout(timeout):
            part = await response.content.readany()
        size += len(part)
        _bound(size)
        for event in decoder.feed(part) if part else decoder.end():
            yield event
        if not part:
            return


def _bound(size: int) -> None:
    if size > LARGEST_REPLY:
        raise ValueError(f"it is longer than {LARGEST_REPLY >> 20} MiB")


async def _linger(response: aiohttp.ClientResponse) -> None:
    """Read the end behind [DONE], so that the connection can be used again; not for long, as some services hold it."""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_LINGER_S):
            while await response.content.readany():
                pass


async def _refusal(response: aiohttp.ClientResponse) -> ServiceError:
    if response.status < 400:
        place = urlsplit(response.headers.get("Location", ""))._replace(query="", fragment="").geturl()
        said = f"it redirects to {place}; keys are not sent on, so give that address as api_base"
        return ServiceError(said, status=response.status)
    try:
        body = await response.content.read(_LONGEST_ERROR)
    except aiohttp.ClientError:  # the status says enough
        body = b""
    text = body.decode("utf-8", "replace").strip() or response.reason or "no more than that"
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        reply = text
    return error_in(reply, status=response.status, headers=response.headers)


async def _hold(session: aiohttp.ClientSession) -> None:
    async with session:
        await asyncio.Event().wait()


def _let_go(loop: asyncio.AbstractEventLoop, keeper: asyncio.Task[None], pid: int) -> None:
    if os.getpid() == pid:  # behind a fork, the loop and its connections are the parent's
        with suppress(RuntimeError):  # the loop is closed, and took them along
            loop.call_soon_threadsafe(keeper.cancel)


@functools.lru_cache(maxsize=4)
def _tls_context(*named: str | None) -> ssl.SSLContext:
    """Trust what the system and its variables name; without variables also certifi's list, if that is installed.

    Reading hundreds of certificates takes some 30 ms, so that clients share what was read.
    """
    context = ssl.create_default_context()
    if not any(named):
        with suppress(ImportError):
            context.load_verify_locations(importlib.import_module("certifi").where())
    return context


def _proxy_of_environment(scheme: str, host: str) -> str | None:
    """Follow HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; this machine itself is never asked through a proxy."""
    if host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy is None or urllib.request.proxy_bypass(host):
        return None
    kind, _, place = proxy.rpartition("://")
    if kind.lower() not in {"", "http", "https"}:
        raise ValueError(f"the environment names a {kind} proxy, and transport = 'openai' knows http proxies only")
    return f"{kind or 'http'}://{place}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
