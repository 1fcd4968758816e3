"""A tier of one member between others: its answer is held against those of the tiers before."""

import pytest

from semcascade import Cascade, ScriptedTransport
from semcascade.errors import ConfigError

TIERS = [{"members": ["a", "b"], "name": "pair"}, {"members": ["c"], "name": "lone"}, {"members": ["big"]}]


def ask(script, **settings):
    with Cascade(tiers=TIERS, threshold=0.5, transport=ScriptedTransport(script), **settings) as cascade:
        return cascade.complete("What is 2 + 2?").decision


@pytest.mark.parametrize(
    ("said", "member", "agreement"),
    [("4", "c", 0.5), ("5", "c", 0.5), ("6", "big", 0.0)],
)
def test_it_is_accepted_where_it_agrees_with_what_was_said_before(said, member, agreement):
    decision = ask({"a": "4", "b": "5", "c": said, "big": "4"})
    assert decision.member == member
    lone = decision.tiers[1]
    assert (lone.score, lone.agreement, lone.chosen) == (agreement, (agreement,), 0)
    assert [candidate.member for candidate in lone.candidates] == ["c"]


def test_those_before_agreeing_with_each_other_do_not_vouch_for_it():
    tiers = [{"members": ["a", "b", "d"], "threshold": 1.0}, *TIERS[1:]]
    script = ScriptedTransport({"a": "4", "b": "4", "d": "5", "c": "7", "big": "9"})
    with Cascade(tiers=tiers, threshold=0.5, transport=script) as cascade:
        assert cascade.complete("What is 2 + 2?").decision.member == "big"


def test_an_answer_of_a_tier_before_is_never_returned_as_its_own():
    decision = ask({"a": "4", "b": "5", "c": "", "big": "6"})
    assert decision.member == "big"
    assert decision.tiers[1].chosen == 0


def test_the_first_tier_still_needs_two():
    with pytest.raises(ConfigError, match="nothing to agree with"):
        Cascade(ensemble=["a"], target="big")
