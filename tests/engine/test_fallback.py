"""Who answers in the target's place when it fails."""

import pytest

from semcascade import Cascade, CascadeConfig, CascadeError, ConfigError, Delta, ScriptedTransport
from semcascade.errors import ConnectionFailedError, MemberError, ServerError
from tests.engine.helpers import AGREE, PRICES, QUESTION, SCATTER, asked, cascade
from tests.support.openai_server import OpenAIServer, Reset, Stall, Status

DOWN = SCATTER | {"t": ServerError("down", member="t"), "u": ServerError("down too", member="u"), "v": "Tokyo it is."}
WAYS = ["complete", "stream"]


def ask(c, way):
    if way == "complete":
        return c.complete(QUESTION)
    *pieces, result = c.stream(QUESTION)
    assert "".join(piece.text for piece in pieces if isinstance(piece, Delta)) == result.text
    return result


@pytest.mark.parametrize("way", WAYS)
def test_they_are_asked_in_order_until_one_answers(way):
    c = cascade(DOWN, fallback=["u", "v"])
    result = ask(c, way)
    decision = result.decision
    assert (result.text, decision.member, decision.tier) == ("Tokyo it is.", "v", "fallback")
    assert (decision.fallback, decision.accepted) == (True, False)
    assert decision.reason == "t failed, u failed; v answered in its place"
    assert [tier.name for tier in decision.tiers] == ["ensemble", "target", "fallback", "fallback"]
    assert asked(c) == ["a", "b", "c", "t", "u", "v"]
    assert c.ledger.summary().deferred == 1


@pytest.mark.parametrize("way", WAYS)
def test_they_are_not_asked_without_need(way):
    c = cascade(SCATTER, fallback=["u", "v"])
    assert ask(c, way).decision.fallback is False
    assert "u" not in asked(c)


@pytest.mark.parametrize("way", WAYS)
def test_when_all_fail_the_rule_decides(way):
    c = cascade(DOWN, fallback=["u"])
    with pytest.raises(CascadeError, match="no member answered") as raised:
        ask(c, way)
    assert [failure.member for failure in raised.value.failures] == ["t", "u"]
    stands_in = ask(cascade(DOWN, fallback=["u"], on_target_failure="ensemble"), way)
    assert stands_in.text == "Tokyo"
    assert stands_in.decision.reason == "t failed, u failed; the best rejected answer, of a, stands in"


def test_a_stream_that_broke_off_is_not_gone_on_with():
    class Breaking(ScriptedTransport):
        async def stream(self, member, request, *, timeout):
            yield Delta(text="one ")
            raise ConnectionFailedError("gone", member=member.name)

    c = Cascade(ensemble=["a", "b"], target="t", fallback=["v"], transport=Breaking(SCATTER))
    with pytest.raises(CascadeError, match="broke off"):
        list(c.stream(QUESTION))


@pytest.mark.parametrize("fault", [Status(500), Status(401), Reset(), Stall()])
@pytest.mark.parametrize("way", WAYS)
def test_over_the_wire(fault, way):
    with OpenAIServer({"a": "1", "b": "2", "v": "3"}) as server:
        server.fail("t", fault)
        c = Cascade(
            ensemble=[server.member("a"), server.member("b")],
            target=server.member("t", timeout=0.5),
            fallback=[server.member("v")],
            max_retries=0,
        )
        assert ask(c, way).text == "3"
        assert c.ledger.summary().calls == len(server.asked()) == 4


def test_a_target_that_is_not_ready_has_failed():
    class Unready(ScriptedTransport):
        async def prepare(self, member):
            if member.name == "t":
                raise MemberError("no weights", member="t")

    c = Cascade(ensemble=["a", "b"], target="t", fallback=["v"], transport=Unready(DOWN))
    assert c.complete(QUESTION).decision.reason == "t failed; v answered in its place"
    with pytest.raises(MemberError, match="no weights"):
        Cascade(ensemble=["a", "b"], target="t", transport=Unready(DOWN)).complete(QUESTION)


def test_a_target_over_budget_may_have_a_cheaper_one_in_its_place():
    ensemble = [{"model": name, **PRICES} for name in "ab"]
    dear = {"model": "t", "input_cost_per_token": 1.0, "output_cost_per_token": 1.0}
    settings = {"ensemble": ensemble, "target": dear, "budget": {"query": {"cost": 1.0}}}
    c = cascade(SCATTER | {"v": "x"}, fallback=[{"model": "v", **PRICES}], **settings)
    decision = c.complete(QUESTION).decision
    assert decision.reason == "t was not asked, as a cap leaves no room; v answered in its place"
    assert decision.always_target_cost > 1


def test_an_unwell_target_is_not_asked_where_others_are():
    c = cascade(DOWN, fallback=["v"], breaker={"failures": 1})
    assert [c.complete(QUESTION).text for _ in range(3)] == ["Tokyo it is."] * 3
    assert asked(c).count("t") == 1


def test_the_last_of_them_is_always_asked():
    c = cascade(DOWN, fallback=["u"], breaker={"failures": 1})
    for _ in range(3):
        with pytest.raises(CascadeError):
            c.complete(QUESTION)
    assert (asked(c).count("t"), asked(c).count("u")) == (1, 3)


def test_a_member_asked_by_name_has_nobody_in_its_place():
    c = cascade(DOWN, fallback=["v"])
    with pytest.raises(CascadeError):
        c.complete(QUESTION, member="t")
    assert c.complete(QUESTION, member="v").text == "Tokyo it is."


def test_where_the_target_lacks_an_ability_they_answer():
    settings = {"target": {"model": "t", "abilities": {"tools": False}}, "fallback": ["v"]}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    assert cascade(AGREE | {"v": "x"}, **settings).complete(QUESTION, tools=[tool]).decision.member == "v"


def test_settings_go_there_and_back():
    config = CascadeConfig.build(ensemble=["a", "b"], target="t", fallback=[{"model": "v", "temperature": 0.5}, "w"])
    assert CascadeConfig.build(config.to_dict()) == config
    assert [member.name for member in config.members()] == ["a", "b", "t", "v", "w"]
    keyed = CascadeConfig.build(ensemble=["x/a", "x/b"], target="x/t", fallback="x/v").with_key("sk-secret")
    assert keyed.fallback[0].key() == "sk-secret"
    assert "sk-secret" not in repr(keyed) + str(keyed.to_dict())


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"fallback": [{"model": "v", "tempratur": 1}]}, "fallback[0].tempratur", "temperature"),
        ({"fallback": [{"model": "v", "samples": 2}]}, "fallback", "one sample"),
        ({"fallback": [3]}, "fallback[0]", "provider/model"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, field, words):
    with pytest.raises(ConfigError) as caught:
        CascadeConfig.build(ensemble=["a", "b"], target="t", **settings)
    assert caught.value.field == field
    assert words in str(caught.value)
