"""The lean transport's connections: made, shared, closed, and where they go."""

from __future__ import annotations

import asyncio
import gc
import gzip
import pickle
import socket
import threading
import warnings
from collections.abc import Callable

import pytest

from semcascade.config import Member
from semcascade.engine.loop import EngineLoop
from semcascade.errors import (
    BadRequestError,
    ConnectionFailedError,
    MalformedReplyError,
    MemberError,
)
from semcascade.messages import Request
from semcascade.transport import openai_http
from semcascade.transport.openai import OpenAITransport
from tests.support.openai_server import (
    OpenAIServer,
    Redirect,
    Stall,
    Status,
    Verbatim,
    closed_address,
)
from tests.transport.lean import REQUEST, member, streamed, whole

KEY = "key-0123456789"
BOTH = pytest.mark.parametrize("ask", [whole, streamed])


def test_a_small_parcel_with_much_in_it_is_refused(server, transport, monkeypatch):
    monkeypatch.setattr(openai_http, "LARGEST_REPLY", 2**20)
    bomb = gzip.compress(b'{"x": "' + b"x" * 2**22)
    assert len(bomb) < 2**14
    address, _ = one_reply(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(bomb) + bomb)  # fmt: skip
    with pytest.raises(MalformedReplyError, match="longer than 1 MiB"):
        whole(transport, member(server, api_base=address))


def one_reply(reply: bytes, times: int = 1) -> tuple[str, list[bytes]]:
    """Serve the same bytes to a few connections; return an api_base and what was sent there."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []

    def serve() -> None:
        with listener:
            for _ in range(times):
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(65536))
                    connection.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1", seen


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
@BOTH
def test_what_speaks_no_http_is_told(server, transport, ask, reply: bytes):
    address, _ = one_reply(reply)
    with pytest.raises((ConnectionFailedError, MalformedReplyError)):
        ask(transport, member(server, api_base=address))


@BOTH
def test_a_refused_connection_is_told(server, transport, ask):
    with pytest.raises(ConnectionFailedError, match="could not be reached"):
        ask(transport, member(server, api_base=closed_address()))


@BOTH
@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_keys_do_not_follow_redirects(server, transport, ask, code: int):
    with OpenAIServer({"a": "stranger"}) as stranger:
        server.fail("a", Redirect(f"{stranger.base_url}/chat/completions?token=secret-{KEY}", code))
        with pytest.raises(MemberError, match="redirects to") as caught:
            ask(transport, member(server, api_key=KEY))
        assert stranger.requests == []
    assert not caught.value.retryable
    assert stranger.base_url in str(caught.value)
    assert KEY not in str(caught.value)


@BOTH
def test_secrets_are_in_no_error(server, transport, ask):
    server.fail("a", Status(400, message=f"Incorrect key: {KEY}, team the-blue-team"))
    asked = member(server, api_key=KEY, extra_headers={"X-Team": "the-blue-team"})
    with pytest.raises(BadRequestError) as caught:
        ask(transport, asked)
    server.heal()
    server.fail("a", Verbatim([f"not json {KEY}".encode()], "text/plain"))
    with pytest.raises(MalformedReplyError) as other:
        ask(transport, asked)
    for error in (caught.value, other.value):
        assert KEY not in str(error)
        assert "the-blue-team" not in str(error)


def test_requests_share_connections_and_cancelled_ones_close_theirs(server):
    lean, asked, ports = OpenAITransport(), member(server), []

    async def go() -> None:
        for _ in range(3):
            await lean.complete(asked, REQUEST, timeout=10)
            assert [delta async for delta in lean.stream(asked, REQUEST, timeout=10)]
        session = lean._http._session
        ports.append(sum(len(held) for held in session.connector._conns.values()))
        stall = Stall(after=2)
        server.fail("a", stall)
        task = asyncio.create_task(lean.complete(asked, REQUEST, timeout=10))
        await asyncio.to_thread(stall.reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_until, lambda: server.asked("a")[-1].disconnected)
        stream = lean.stream(asked, REQUEST, timeout=10)
        await anext(stream)
        await stream.aclose()
        await asyncio.to_thread(server.wait_until, lambda: server.asked("a")[-1].disconnected)
        await lean.aclose()
        assert session.closed
        server.heal()
        assert (await lean.complete(asked, REQUEST, timeout=10)).text == "Tokyo it is"
        await lean.aclose()

    EngineLoop.shared().run(go())
    assert ports == [1]


def tasks_of_the_loop() -> list[str]:
    async def names() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "semcascade-connections"]

    return EngineLoop.shared().run(names())


def test_a_transport_that_is_dropped_leaves_nothing_behind(server):
    before = len(tasks_of_the_loop())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lean = OpenAITransport()
        whole(lean, member(server))
        assert len(tasks_of_the_loop()) == before + 1
        del lean
        gc.collect()
        assert any(len(tasks_of_the_loop()) == before for _ in range(1000)), "each look gives the loop another turn"


def test_each_event_loop_has_its_own_connections(server):
    lean, asked = OpenAITransport(), member(server)

    async def once() -> str:
        return (await lean.complete(asked, REQUEST, timeout=10)).text

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            assert asyncio.run(once()) == "Tokyo it is"
        assert EngineLoop.shared().run(once()) == "Tokyo it is"
        EngineLoop.shared().run(lean.aclose())


def test_it_can_be_pickled(server, transport):
    whole(transport, member(server))
    copy = pickle.loads(pickle.dumps(transport))
    assert whole(copy, member(server)).text == "Tokyo it is"
    EngineLoop.shared().run(copy.aclose())


@pytest.mark.parametrize("characters", [2**20 - 200, 2**20, 3 * 2**20])
def test_long_prompts_are_sent_whole_and_without_a_warning(server, transport, characters: int):
    prompt = "é" * (characters // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole(transport, member(server), Request(({"role": "user", "content": prompt},)))
    assert server.asked("a")[0].body["messages"][0]["content"] == prompt


# --- proxies


@pytest.fixture
def proxied(monkeypatch) -> Callable[..., tuple[str | None, list[bytes]]]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def ask(api_base: str, **environment: str) -> tuple[str | None, list[bytes]]:
        body = b'{"choices": [{"message": {"content": "by proxy"}}]}'
        proxy, seen = one_reply(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        for name, value in environment.items():
            monkeypatch.setenv(name, value.replace("PROXY", proxy.removeprefix("http://").removesuffix("/v1")))
        lean = OpenAITransport()
        try:
            return whole(lean, Member(model="a", api_base=api_base), timeout=3).text, seen
        except MemberError:
            return None, seen
        finally:
            EngineLoop.shared().run(lean.aclose())

    return ask


def test_proxies_of_the_environment_are_used(proxied):
    text, seen = proxied("http://models.invalid/v1", HTTP_PROXY="PROXY")
    assert text == "by proxy"
    assert seen[0].startswith(b"POST http://models.invalid/v1/chat/completions HTTP/1.1\r\n")


def test_a_proxy_for_all_is_used_too_and_is_told_its_password(proxied):
    text, seen = proxied("http://models.invalid/v1", ALL_PROXY="http://user:word@PROXY")
    assert text == "by proxy"
    assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in seen[0]


@pytest.mark.parametrize(
    ("proxy", "words"), [("socks5h://u:word@PROXY", "socks5h proxy"), ("http://PROXYx", "cannot be sent")]
)
def test_a_proxy_that_cannot_be_used_is_told_before_anything_is_sent(proxied, monkeypatch, proxy: str, words: str):
    assert proxied("http://models.invalid/v1", ALL_PROXY=proxy) == (None, [])
    with pytest.raises(BadRequestError, match=words) as caught:
        whole(OpenAITransport(), Member(model="a", api_base="http://models.invalid/v1"))
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("base", ["http://models.invalid/v1", "http://127.0.0.1:9/v1"])
def test_who_is_not_to_be_asked_by_proxy_is_not(proxied, base: str):
    text, seen = proxied(base, HTTP_PROXY="PROXY", NO_PROXY="models.invalid,other")
    assert (text, seen) == (None, [])
