"""Whoever watches a query hears of each request, and changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from semcascade import Candidate, Cascade, CascadeError, ScriptedTransport
from semcascade.engine.watching import _Watched
from semcascade.transport.base import Delta, Transport


class Log:
    def __init__(self):
        self.heard = []

    def __call__(self, member, request):
        self.heard.append((member.name, "asked"))
        return lambda outcome: self.heard.append(
            (member.name, type(outcome).__name__ if isinstance(outcome, BaseException) else [a.text for a in outcome])
        )


def cascade(**script):
    transport = ScriptedTransport({"a": "4", "b": "4", "big": "five five", **script})
    return Cascade(ensemble=["a", "b"], target="big", transport=transport, max_retries=0)


def test_every_request_is_heard_of_and_nothing_else_changes():
    log = Log()
    watched, plain = cascade().complete("2 + 2?", watcher=log), cascade().complete("2 + 2?")
    assert log.heard[:2] == [("a", "asked"), ("b", "asked")]
    assert sorted(log.heard[2:]) == [("a", ["4"]), ("b", ["4"])]
    assert (watched.text, watched.decision.reason) == (plain.text, plain.decision.reason)


def test_failures_and_streams():
    log = Log()
    *pieces, result = cascade(b="7").stream("2 + 2?", watcher=log)
    assert "".join(piece.text for piece in pieces) == "five five"
    assert log.heard[-2:] == [("big", "asked"), ("big", ["five five"])]
    assert result.decision.calls == 3
    log = Log()
    with pytest.raises(CascadeError):
        cascade(a=ValueError("no"), big=Candidate("x", text="five"), b="7").complete("?", watcher=log, member="a")
    assert log.heard == [("a", "asked"), ("a", "ValueError")]


def test_a_stream_that_is_left_has_an_end():
    class Endless(ScriptedTransport):
        async def stream(self, member, request, *, timeout):
            yield Delta(text="five")
            await asyncio.Event().wait()

    log, script = Log(), Endless({"a": "4", "b": "7", "big": ""})
    stream = Cascade(ensemble=["a", "b"], target="big", transport=script).stream("2 + 2?", watcher=log)
    assert next(stream).text == "five"
    stream.close()
    assert log.heard[-1] in [("big", "GeneratorExit"), ("big", "CancelledError")]


def test_all_that_a_transport_does_is_passed_on():
    public = {name for name in vars(Transport) if not name.startswith("_")}
    assert public <= vars(_Watched).keys()
