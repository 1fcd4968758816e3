import pickle

import pytest

from semcascade import Candidate, ConfigError, Member, MemberError, Request, ScriptedTransport, ToolCall, Usage
from semcascade.errors import ModelNotFoundError, ServerError
from semcascade.transport.base import assemble

REQUEST = Request(({"role": "user", "content": "Capital of France?"},))


async def ask(transport, model="a", **settings):
    return await transport.complete(Member(model=model, **settings), REQUEST, timeout=1)


async def test_replies_may_be_texts_calls_candidates_errors_and_functions():
    transport = ScriptedTransport(
        {
            "a": "Paris",
            "call": ToolCall("lookup", '{"q": 1}'),
            "whole": Candidate("x", text="Paris", cost=0.25, usage=Usage(1, 2)),
            "error": ServerError("down", member="error"),
            "function": lambda request: request.messages[-1]["content"].upper(),
        }
    )
    assert (await ask(transport)).text == "Paris"
    assert (await ask(transport, "call")).tool_calls[0].parsed() == {"q": 1}
    assert (await ask(transport, "whole")).cost == 0.25
    assert (await ask(transport, "function")).text == "CAPITAL OF FRANCE?"
    with pytest.raises(ServerError):
        await ask(transport, "error")


async def test_a_list_is_used_in_order_and_its_last_reply_stays():
    transport = ScriptedTransport({"a": ["1", "2"]})
    assert [(await ask(transport)).text for _ in range(4)] == ["1", "2", "2", "2"]


async def test_members_are_found_by_name_then_model_then_star():
    transport = ScriptedTransport({"named": "by name", "model": "by model", "*": "by star"})
    assert (await ask(transport, "model", name="named")).text == "by name"
    assert (await ask(transport, "model", name="other")).text == "by model"
    assert (await ask(transport, "unknown")).text == "by star"
    with pytest.raises(ModelNotFoundError):
        await ask(ScriptedTransport({"a": "x"}), "unknown")


async def test_pickling_keeps_the_script_and_its_place_and_drops_what_was_asked():
    transport = ScriptedTransport({"a": ["1", "2"]})
    await ask(transport)
    copy = pickle.loads(pickle.dumps(transport))
    assert copy.requests == []
    assert (await ask(copy)).text == "2"


def test_an_empty_list_is_refused():
    with pytest.raises(ConfigError):
        ScriptedTransport({"a": []})


async def test_a_senseless_reply_is_an_error():
    with pytest.raises(MemberError):
        await ask(ScriptedTransport({"a": lambda request: 42}))


async def test_the_pieces_of_a_stream_add_up_to_the_answer():
    reply = Candidate(
        "x", text="a b  c\nd", tool_calls=(ToolCall("f", "{}", "1"),), finish_reason="stop", logprobs=(-0.1,)
    )
    transport = ScriptedTransport({"a": reply})
    member = Member(model="a")
    whole = await ask(transport)
    pieces = [delta async for delta in transport.stream(member, REQUEST, timeout=1)]
    assert len(pieces) > 3
    assert assemble(member, pieces) == whole


async def test_prices_come_from_the_member_and_requests_are_kept():
    transport = ScriptedTransport({"a": "x" * 40})
    answer = await ask(transport, input_cost_per_token=1.0, output_cost_per_token=10.0)
    assert answer.cost == answer.usage.input_tokens + 10 * answer.usage.output_tokens
    assert (await ask(transport)).cost is None
    assert transport.requests == [("a", REQUEST), ("a", REQUEST)]
