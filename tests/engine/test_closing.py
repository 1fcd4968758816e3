"""Closing one cascade is no matter of the others."""

import subprocess
import sys
from pathlib import Path

from semcascade import Cascade
from tests.support.openai_server import OpenAIServer

ROOT = Path(__file__).resolve().parents[2]


def test_a_closed_cascade_leaves_the_others_their_connections():
    with OpenAIServer({"a": "Tokyo", "b": "Tokyo", "t": "Tokyo"}) as server:
        members = {"ensemble": [server.member("a"), server.member("b")], "target": server.member("t")}
        with Cascade(members, max_retries=0) as stays:
            with Cascade(members, max_retries=0) as goes:
                assert goes.complete("hi").text == stays.complete("hi").text == "Tokyo"
            assert stays.complete("hi").text == "Tokyo"
        with Cascade(members, max_retries=0) as later:
            assert later.complete("hi").text == "Tokyo"


def test_queries_with_a_deadline_share_their_clients():
    from litellm import in_memory_llm_clients_cache

    with OpenAIServer({}, default="Tokyo") as server:
        members = {"ensemble": [server.member("a"), server.member("b")], "target": server.member("t")}
        c = Cascade(members, deadline=30)
        c.complete("hi")
        before = len(in_memory_llm_clients_cache.cache_dict)
        for number in range(10):
            c.complete(f"hi {number}")
        assert len(in_memory_llm_clients_cache.cache_dict) == before


CROWD = """
import asyncio
from semcascade import Cascade
from tests.support.openai_server import OpenAIServer

with OpenAIServer({}, default="Tokyo") as server:
    c = Cascade(ensemble=[server.member("a"), server.member("b")], target=server.member("t"), deadline=60)
    async def crowd():
        return await asyncio.gather(*(c.acomplete(f"q{n}") for n in range(60)))
    print({result.text for result in asyncio.run(crowd())}, c.ledger.summary().calls, len(server.asked()))
"""


def test_a_process_that_was_busy_ends_without_a_word():
    done = subprocess.run([sys.executable, "-c", CROWD], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{'Tokyo'} 120 120\n", "")
