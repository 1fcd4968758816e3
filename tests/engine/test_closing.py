"""Closing one cascade is no matter of the others."""

from semcascade import Cascade
from tests.support.openai_server import OpenAIServer


def test_a_closed_cascade_leaves_the_others_their_connections():
    with OpenAIServer({"a": "Tokyo", "b": "Tokyo", "t": "Tokyo"}) as server:
        members = {"ensemble": [server.member("a"), server.member("b")], "target": server.member("t")}
        with Cascade(members, max_retries=0) as stays:
            with Cascade(members, max_retries=0) as goes:
                assert goes.complete("hi").text == stays.complete("hi").text == "Tokyo"
            assert stays.complete("hi").text == "Tokyo"
        with Cascade(members, max_retries=0) as later:
            assert later.complete("hi").text == "Tokyo"
