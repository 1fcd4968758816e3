"""The cascade from outside, over a scripted transport: what is asked, accepted, deferred, returned."""

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcascade import (
    Cascade,
    CascadeError,
    ConfigError,
    InputError,
    Member,
    ScriptedTransport,
    ToolCall,
)
from semcascade.errors import SemcascadeError, ServerError
from tests.engine.helpers import AGREE, QUESTION, SCATTER, asked, cascade


def test_agreement_is_accepted_and_the_target_is_not_asked():
    c = cascade(AGREE)
    result = c.complete(QUESTION)
    assert result.text == "Tokyo"
    assert result.decision.accepted
    assert result.decision.tier == "ensemble"
    assert result.decision.member == "a"
    assert result.decision.score == 1.0
    assert sorted(asked(c)) == ["a", "b", "c"]


def test_scatter_is_deferred_to_the_target():
    c = cascade(SCATTER)
    result = c.complete(QUESTION)
    assert result.text == "It is Tokyo."
    assert not result.decision.accepted
    assert result.decision.tier == "target"
    assert result.decision.score == 0.0
    assert asked(c)[-1] == "t"
    assert [tier.accepted for tier in result.decision.tiers] == [False, True]


def test_threshold_is_the_dial():
    script = {"a": "Kyoto", "b": "Tokyo", "c": "Tokyo", "t": "from the target"}
    assert cascade(script, threshold=0.5).complete(QUESTION).text == "Tokyo"
    assert cascade(script, threshold=0.51).complete(QUESTION).text == "from the target"


def test_three_tiers_are_walked_in_order():
    tiers = [{"members": ["a", "b"]}, {"members": ["c", "d"], "threshold": 0.9}, {"members": ["t"]}]
    script = {"a": "1", "b": "2", "c": "3", "d": "3", "t": "4"}
    c = Cascade(tiers=tiers, transport=ScriptedTransport(script))
    result = c.complete("How many?")
    assert (result.text, result.decision.tier, result.decision.accepted) == ("3", "tier-2", True)
    assert "t" not in asked(c)


def test_ties_go_to_the_member_of_higher_priority():
    script = {"a": "1", "b": "2", "t": "3"}
    plain = Cascade(ensemble=["a", "b"], target="t", threshold=0, transport=ScriptedTransport(script))
    assert plain.complete("n?").text == "1"
    weighted = Cascade(
        ensemble=["a", {"model": "b", "priority": 1}], target="t", threshold=0, transport=ScriptedTransport(script)
    )
    assert weighted.complete("n?").text == "2"


def test_primary_selection_decides_by_agreement_with_the_primary():
    script = {"a": "Kyoto", "b": "Tokyo", "c": "Tokyo", "t": "from the target"}
    result = cascade(script, selection="primary", threshold=0.5).complete(QUESTION)
    assert result.text == "from the target"
    assert result.decision.tiers[0].signal == "agreement_primary"
    assert cascade(script, selection="primary", threshold=0.0).complete(QUESTION).text == "Kyoto"


def test_samples_of_one_model_are_compared():
    c = Cascade(
        ensemble=[{"model": "a", "samples": 3}],
        target="t",
        transport=ScriptedTransport({"a": ["7", "7", "8"], "t": "9"}),
        threshold=0.5,
    )
    result = c.complete("How many?")
    assert result.text == "7"
    assert [candidate.text for candidate in result.decision.tiers[0].candidates] == ["7", "7", "8"]


@pytest.mark.parametrize("nothing", ["", "  ", "I'm sorry, but I can't help with that."])
def test_empty_answers_and_refusals_are_no_consensus(nothing):
    result = cascade({"a": nothing, "b": nothing, "c": nothing, "t": "the answer"}, threshold=0.0).complete(QUESTION)
    assert result.text == "the answer"
    assert result.decision.score in (0.0, None)


def test_same_tool_calls_are_accepted_and_different_ones_deferred():
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    same = {"a": ToolCall("add", '{"x": 1, "y": 2}', "1"), "b": ToolCall("add", '{"y": 2, "x": 1.0}', "2"), "t": "no"}
    c = Cascade(ensemble=["a", "b"], target="t", transport=ScriptedTransport(same))
    result = c.complete("1+2?", tools=tools, tool_choice="auto")
    assert result.decision.accepted
    assert result.tool_calls[0].parsed() == {"x": 1, "y": 2}
    assert c._transports.default.requests[0][1].tools == tuple(tools)
    other = {**same, "b": ToolCall("add", '{"x": 1, "y": 3}'), "t": "from the target"}
    assert Cascade(ensemble=["a", "b"], target="t", transport=ScriptedTransport(other)).complete(
        "1+2?", tools=tools
    ).text == ("from the target")


def test_options_reach_the_members_and_win_over_their_own():
    c = cascade(AGREE, ensemble=[{"model": "a", "temperature": 0.1}, "b", "c"])
    c.complete(QUESTION, temperature=0.7, response_format={"type": "json_object"}, stop=None)
    request = c._transports.default.requests[0][1]
    assert request.params == {"temperature": 0.7}
    assert request.response_format == {"type": "json_object"}


def test_preamble_stands_behind_the_system_message():
    shot = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    c = cascade(AGREE, ensemble=[{"model": "a", "preamble": shot}, "b", "c"])
    prompt = [{"role": "system", "content": "Brief."}, {"role": "user", "content": QUESTION}]
    c.complete(prompt)
    sent = dict(c._transports.default.requests)
    assert list(sent["a"].messages) == [prompt[0], *shot, prompt[1]]
    assert list(sent["b"].messages) == prompt


def test_one_member_can_be_asked_by_name():
    c = cascade(AGREE)
    result = c.complete(QUESTION, member="b")
    assert (result.text, result.decision.member, asked(c)) == ("Tokyo.", "b", ["b"])
    assert not result.decision.accepted
    with pytest.raises(InputError, match="no member") as caught:
        c.complete(QUESTION, member="nobody")
    assert caught.value.field == "member"


@pytest.mark.parametrize(
    ("prompt", "options", "field"),
    [
        ("", {}, "prompt"),
        (7, {}, "prompt"),
        ([{"role": "user"}], {}, "prompt[0].content"),
        ("x", {"tools": "add"}, "tools"),
        ("x", {"tools": [{"name": "add"}]}, "tools[0]"),
        ("x", {"tool_choice": 5}, "tool_choice"),
        ("x", {"extra_headers": {"X": "a\r\nY: b"}}, "extra_headers"),
        ("x", {"extra_body": [1]}, "extra_body"),
        ("x", {"watcher": 5}, "watcher"),
        ("x", {"response_format": 5}, "response_format"),
    ],
)
def test_bad_input_is_refused_before_anything_is_spent(prompt, options, field):
    c = cascade(AGREE)
    with pytest.raises(InputError) as caught:
        c.complete(prompt, **options)
    assert caught.value.field == field
    assert asked(c) == []


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"similarity": "nonsense"}, "similarity"),
        ({"signal": "nonsense"}, "signal"),
        ({"ensemble": ["a", {"model": "b", "transport": "pigeon"}]}, "transport"),
    ],
)
def test_unknown_names_are_refused_at_construction(settings, field):
    with pytest.raises(ConfigError) as caught:
        cascade(AGREE, **settings)
    assert caught.value.field == field


def test_json_of_a_result_has_the_promised_keys():
    data = json.loads(json.dumps(cascade(AGREE).complete(QUESTION).to_dict()))
    decision = data["decision"]
    assert data["answer"] == "Tokyo"
    assert {"tier", "accepted", "signal", "score", "threshold", "reason", "candidates", "cost", "latency_s"} <= set(
        decision
    )
    assert {"member", "text", "agreement", "cost", "latency_s", "error"} <= set(decision["candidates"][0])


def test_explanation_is_readable_and_safe():
    evil = "[red]markup[/red] \x1b[31mansi\x1b[0m\nnewline " + "long " * 100
    script = {"a": evil, "b": "x", "c": ServerError("down", member="c"), "t": "t"}
    text = cascade(script).complete(QUESTION).decision.explain()
    assert "\x1b" not in text
    assert "ServerError" in text
    assert "deferred" in text
    assert all(len(line) < 220 for line in text.splitlines())


def test_escalation_rate_defers_about_that_share():
    c = cascade(
        {"a": "same", "b": lambda request: request.messages[-1]["content"], "c": "same", "t": "t"}, escalation_rate=0.3
    )
    for n in range(200):
        c.complete("same" if n % 2 else str(n))
    assert c.ledger.summary().deferral_rate == pytest.approx(0.3, abs=0.06)


def test_pickling_keeps_configuration_and_drops_secrets():
    c = Cascade(
        ensemble=["openai/a", {"model": "openai/b", "api_key": "sk-secret-secret"}], target="openai/t", threshold=0.8
    )
    data = pickle.dumps(c)
    assert b"sk-secret-secret" not in data
    assert pickle.loads(data).config.threshold == 0.8
    assert "sk-secret" not in repr(c)


def test_context_window_is_the_least_or_unknown():
    def windows(*sizes):
        members = [{"model": f"m{i}", **({"context_window": size} if size else {})} for i, size in enumerate(sizes)]
        return Cascade(ensemble=members[:-1], target=members[-1], transport=ScriptedTransport({})).context_window()

    assert windows(8000, 4000, 128000) == 4000
    assert windows(8000, None, 128000) is None


def test_settings_come_from_files_and_keywords(tmp_path):
    path = tmp_path / "cascade.toml"
    path.write_text('ensemble = ["a", "b"]\ntarget = "t"\nthreshold = 0.9\n')
    c = Cascade.from_file(path, transport=ScriptedTransport({"*": "x"}), threshold=0.2)
    assert c.config.threshold == 0.2
    assert c.complete("?").text == "x"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["Tokyo", "Kyoto", "42", "", "yes"]), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
def test_permuting_members_of_given_priorities_changes_nothing(answers, random):
    members = [Member(model=f"m{index}", priority=-index) for index in range(len(answers))]
    script = {member.name: answer for member, answer in zip(members, answers, strict=True)} | {"t": "target"}
    shuffled = random.sample(members, len(members))
    one = Cascade(ensemble=members, target="t", transport=ScriptedTransport(script)).complete(QUESTION).decision
    two = Cascade(ensemble=shuffled, target="t", transport=ScriptedTransport(script)).complete(QUESTION).decision
    assert (one.accepted, one.member) == (two.accepted, two.member)
    assert one.score == pytest.approx(two.score)
    by_member = {c.member: value for c, value in two.tiers[0].rows()}
    assert {c.member: value for c, value in one.tiers[0].rows()} == pytest.approx(by_member)


def test_warmup_and_close_can_be_repeated():
    c = cascade(AGREE)
    c.warmup()
    c.close()
    c.close()
    assert c.complete(QUESTION).text == "Tokyo"


def test_engine_errors_share_the_base():
    assert issubclass(CascadeError, SemcascadeError)
