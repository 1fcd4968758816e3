"""Conversations: the same beginning to every member at every turn, and the tier that earlier turns needed."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade import Cascade, InputError, ScriptedTransport
from semcascade.engine.sticky import Conversations, _prefixes
from tests.engine.helpers import asked, cascade
from tests.support.openai_server import OpenAIServer

SYSTEM = {"role": "system", "content": "Be brief. Antworte auf Deutsch: schön."}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def turns(*texts):
    """Return the conversation at each turn, the answers of earlier turns in it."""
    said = [SYSTEM]
    for text in texts:
        said = [*said, user(text)]
        yield list(said)
        said = [*said, assistant(f"answer to {text}")]


def scripted(**settings):
    """Members agree on all but "hard" questions."""

    def answer(request):
        return "hard" in request.messages[-1]["content"]

    script = {name: lambda request, own=name: own if answer(request) else "same" for name in "abc"} | {"t": "target"}
    return cascade(script, **settings)


def tiers_of(c, *texts, **options):
    return [c.complete(turn, **options).decision.tier for turn in turns(*texts)]


def test_a_conversation_stays_where_it_was_needed():
    c = scripted(sticky=True)
    assert tiers_of(c, "easy", "hard", "easy", "easy again") == ["ensemble", "target", "target", "target"]
    assert asked(c) == ["a", "b", "c", "a", "b", "c", "t", "t", "t"]


def test_a_target_that_was_asked_on_speculation_was_not_needed():
    tiers = [{"members": ["a", "b"]}, {"members": ["c", "d"]}, {"members": ["t"]}]
    script = {"a": "one", "b": "two", "c": "same", "d": "same", "t": "target"}
    c = cascade(script, tiers=tiers, ensemble=None, target=None, sticky=True, speculate="always")
    assert tiers_of(c, "hard", "easy") == ["tier-2", "tier-2"]


def test_the_decision_says_so():
    c = scripted(sticky=True)
    decisions = [c.complete(turn).decision for turn in turns("hard", "easy")]
    assert decisions[1].reason == "straight to t: sticky: an earlier turn of the conversation needed target"
    assert decisions[1].notes == ("sticky: an earlier turn of the conversation needed target",)
    assert (decisions[1].calls, decisions[1].accepted) == (1, False)


def test_it_is_off_unless_asked_for():
    assert tiers_of(scripted(), "hard", "easy") == ["target", "ensemble"]


def test_other_conversations_are_not_touched():
    c = scripted(sticky=True)
    tiers_of(c, "hard", "easy")
    assert tiers_of(c, "easy", "easy too") == ["ensemble", "ensemble"]
    assert c.complete([user("hard"), assistant("x"), user("easy")]).decision.tier == "ensemble", "another beginning"


def test_the_same_question_anew_is_no_later_turn():
    c = scripted(sticky=True)
    for _ in range(2):
        assert len(c.complete([user("hard")]).decision.tiers) == 2


def test_a_conversation_may_have_a_name():
    c = scripted(sticky=True)
    assert c.complete("hard", conversation="x").decision.tier == "target"
    assert c.complete("easy", conversation="x").decision.tier == "target"
    assert c.complete("easy", conversation="y").decision.tier == "ensemble"
    assert c.complete("easy", member="a", conversation="x").decision.member == "a"
    for wrong in ("", 3, ["x"]):
        with pytest.raises(InputError, match="conversation: expected the name"):
            c.complete("easy", conversation=wrong)
    assert scripted().complete("easy", conversation="x").decision.accepted, "without `sticky` it does not matter"


def test_of_three_tiers_the_middle_one_may_be_enough():
    def split(text):
        return {"a": lambda r: "1" if text in str(r) else "same", "b": lambda r: "2" if text in str(r) else "same"}

    script = {**split("hard"), "m": "mid", "n": "mid", "t": "target"}
    tiers = [{"members": ["a", "b"]}, {"members": ["m", "n"]}, {"members": ["t"]}]
    c = Cascade(tiers=tiers, transport=ScriptedTransport(script), sticky=True)
    assert tiers_of(c, "hard", "easy") == ["tier-2", "tier-2"]
    assert asked(c) == ["a", "b", "m", "n", "m", "n"]


@pytest.mark.parametrize("way", ["stream", "left"])
def test_streams_are_turns_too(way):
    c = scripted(sticky=True)
    first, second = turns("hard", "easy")
    pieces = c.stream(first)
    if way == "stream":
        list(pieces)
    else:
        next(pieces)
        pieces.close()
    assert c.complete(second).decision.tier == "target"


def test_a_skipped_tier_was_not_needed():
    c = scripted(sticky=True, budget={"query": {"calls": 1}})
    tiers_of(c, "easy")
    assert not c._conversations._needed


def test_memory_is_bounded_and_the_longest_unused_goes_first():
    conversations = Conversations(most=3)
    for name in "abc":
        conversations.turn((user("x"),), name)
        conversations.keep(f"named {name}", "target")
    assert conversations.needed(("named a",)) == "target"
    conversations.keep("named d", "target")
    assert conversations.needed(("named b",)) is None
    assert conversations.needed(("named a",)) == "target"


@given(st.lists(st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=4), min_size=2, max_size=2, unique_by=tuple))
def test_different_beginnings_have_different_digests(texts):
    one, other = ([*_prefixes(tuple(map(user, text)))] for text in texts)
    if one and other:
        assert (one[-1] == other[-1]) == (texts[0] == texts[1])
        assert one[-1] not in other or texts[1][: len(texts[0])] == texts[0]


# --- what members are sent


@pytest.mark.parametrize("transport", ["litellm", "openai"])
def test_every_member_is_sent_the_same_beginning_byte_for_byte(transport):
    shots = [user("1 + 1?"), assistant("2")]
    with OpenAIServer({}, default=lambda body: "same" if body["model"] != "t" else "target") as server:
        members = [server.member(name, transport=transport) for name in "ab"]
        members[1]["preamble"] = shots
        c = Cascade(ensemble=members, target=server.member("t", transport=transport), early_exit="off")
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        tool = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"b": 1,  "a": [2]}'}}
        said = [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "Was ist „das“?"}, image]}]
        for turn in range(4):
            c.complete(said, max_tokens=50)
            c.complete(said, member="openai/t")
            said = [*said, {"role": "assistant", "content": None, "tool_calls": [tool]}]
            said += [{"role": "tool", "tool_call_id": "1", "content": f"5 {turn}"}, user(f"Und {turn}?")]
        for name in "abt":
            sent = [[json.dumps(message) for message in request.body["messages"]] for request in server.asked(name)]
            assert len(sent) == 4
            for earlier, later in itertools.pairwise(sent):
                assert later[: len(earlier)] == earlier
        assert server.asked("b")[0].body["messages"][:3] == [SYSTEM, *shots]
        assert server.asked("a")[-1].body["messages"] == server.asked("t")[-1].body["messages"]
