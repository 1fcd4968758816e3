"""The cascade from outside, over a scripted transport."""

import asyncio
import json
import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcascade import (
    Candidate,
    Cascade,
    CascadeError,
    ConfigError,
    DeadlineExceededError,
    Delta,
    InputError,
    LocalModelError,
    Member,
    MemberError,
    Result,
    ScriptedTransport,
    ToolCall,
    Transport,
    Usage,
)
from semcascade.errors import AuthenticationError, BadRequestError, RateLimitError, SemcascadeError, ServerError

QUESTION = "What is the capital of Japan?"
AGREE = {"a": "Tokyo", "b": "Tokyo.", "c": "tokyo", "t": "It is Tokyo."}
SCATTER = {"a": "Tokyo", "b": "Kyoto", "c": "Osaka", "t": "It is Tokyo."}
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
NO_RETRY = {"max_retries": 0}


def cascade(script, **settings):
    settings = {"ensemble": ["a", "b", "c"], "target": "t", **NO_RETRY, **settings}
    return Cascade(transport=ScriptedTransport(script), **settings)


def asked(c):
    return [name for name, _ in c._transports.default.requests]


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


# --- tools


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


# --- bad input


@pytest.mark.parametrize(
    ("prompt", "options", "field"),
    [
        ("", {}, "prompt"),
        (7, {}, "prompt"),
        ([{"role": "user"}], {}, "prompt[0].content"),
        ("x", {"tools": "add"}, "tools"),
        ("x", {"tools": [{"name": "add"}]}, "tools[0]"),
        ("x", {"tool_choice": 5}, "tool_choice"),
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


# --- failures


def test_one_failed_member_of_three_degrades_the_ensemble():
    result = cascade({**AGREE, "b": ServerError("down", member="b")}).complete(QUESTION)
    assert result.text == "Tokyo"
    record = result.decision.tiers[0]
    assert [candidate.ok for candidate in record.candidates] == [True, False, True]
    assert record.agreement == (1.0, None, 1.0)
    assert "down" in json.dumps(result.decision.to_dict())


def test_too_few_answers_defer():
    down = {**AGREE, "b": ServerError("down", member="b"), "c": ServerError("down", member="c")}
    result = cascade(down).complete(QUESTION)
    assert result.text == "It is Tokyo."
    assert "1 of 3 answered" in result.decision.reason
    assert result.decision.score is None


def test_quorum_is_kept():
    down = {**AGREE, "b": ServerError("down", member="b")}
    assert not cascade(down, quorum=3).complete(QUESTION).decision.accepted
    assert cascade(down, quorum=2).complete(QUESTION).decision.accepted
    tiers = [{"members": ["a", "b", "c"], "quorum": 3}, {"members": "t"}]
    assert (
        not Cascade(tiers=tiers, max_retries=0, transport=ScriptedTransport(down)).complete(QUESTION).decision.accepted
    )


def test_failed_target_raises_with_every_failure():
    script = {**SCATTER, "b": ServerError("b is down", member="b"), "t": ServerError("t is down", member="t")}
    c = cascade(script)
    with pytest.raises(CascadeError) as caught:
        c.complete(QUESTION)
    assert [type(failure) for failure in caught.value.failures] == [ServerError, ServerError]
    assert "t is down" in str(caught.value)
    assert caught.value.decision.tiers[0].candidates[0].text == "Tokyo"
    assert c.ledger.summary().failed == 1


def test_failed_target_can_fall_back_to_the_ensemble():
    script = {**SCATTER, "t": ServerError("t is down", member="t")}
    result = cascade(script, on_target_failure="ensemble").complete(QUESTION)
    assert result.text == "Tokyo"
    assert result.decision.fallback
    assert not result.decision.accepted
    assert "stands in" in result.decision.reason


def test_an_unexpected_error_of_a_transport_is_the_members():
    result = cascade({**AGREE, "b": RuntimeError("bug in the transport")}).complete(QUESTION)
    failure = result.decision.tiers[0].candidates[1].failure
    assert isinstance(failure, MemberError)
    assert isinstance(failure.__cause__, RuntimeError)
    assert failure.__cause__.__traceback__ is None


def test_passing_failures_are_retried_and_counted():
    script = {**AGREE, "b": [RateLimitError("slow down", member="b", retry_after=0.0), "Tokyo"]}
    c = cascade(script, max_retries=1)
    result = c.complete(QUESTION)
    assert result.decision.tiers[0].candidates[1].attempts == 2
    assert result.decision.calls == 4
    assert asked(c).count("b") == 2


def test_final_failures_are_not_retried():
    c = cascade({**AGREE, "b": BadRequestError("no", member="b")}, max_retries=5)
    c.complete(QUESTION)
    assert asked(c).count("b") == 1


class Refusing(ScriptedTransport):
    """Knows beforehand that some members will fail."""

    def __init__(self, script, refused):
        super().__init__(script)
        self.refused = refused

    def check(self, member):
        if member.name in self.refused:
            raise AuthenticationError("no key", member=member.name)


class Unready(Refusing):
    """Cannot get some members ready."""

    async def prepare(self, member):
        if member.name in self.refused:
            raise LocalModelError("the disk is full")

    def check(self, member):
        pass


@pytest.mark.parametrize("name", ["a", "t"])
def test_a_member_that_is_sure_to_fail_raises_before_anything_is_spent(name):
    transport = Refusing(AGREE, {name})
    c = Cascade(ensemble=["a", "b"], target="t", transport=transport)
    for ask in (c.complete, lambda prompt: list(c.stream(prompt))):
        with pytest.raises(AuthenticationError, match=f"{name}: no key"):
            ask(QUESTION)
    assert transport.requests == []
    assert c.complete(QUESTION, member="b").text == "Tokyo."


def test_a_member_that_cannot_be_made_ready_is_left_out():
    result = Cascade(ensemble=["a", "b", "c"], target="t", transport=Unready(AGREE, {"b"})).complete(QUESTION)
    assert result.text == "Tokyo"
    assert "the disk is full" in str(result.decision.tiers[0].candidates[1].failure)
    with pytest.raises(LocalModelError):
        Cascade(ensemble=["a", "b", "c"], target="t", transport=Unready(AGREE, {"t"})).complete(QUESTION)


def test_a_member_that_is_never_ready_does_not_outlive_the_deadline():
    class Stuck(ScriptedTransport):
        async def prepare(self, member):
            await asyncio.Event().wait()

    with pytest.raises(DeadlineExceededError):
        Cascade(ensemble=["a", "b"], target="t", transport=Stuck(AGREE), deadline=0.1).complete(QUESTION)


def test_a_tier_that_cannot_be_scored_is_not_paid_for():
    transport = Unready(AGREE, {"a", "b"})
    result = Cascade(ensemble=["a", "b", "c"], target="t", transport=transport).complete(QUESTION)
    assert result.text == "It is Tokyo."
    assert [name for name, _ in transport.requests] == ["t"]
    assert [candidate.attempts for candidate in result.decision.tiers[0].candidates] == [0, 0]


def test_a_transport_that_breaks_its_promises_is_the_members_failure():
    class Odd(ScriptedTransport):
        async def prepare(self, member):
            if member.name == "a":
                raise OSError("no such device")

        async def complete(self, member, request, *, timeout, sample=0):
            return None if member.name == "b" else await super().complete(member, request, timeout=timeout)

    c = Cascade(ensemble=["a", "b", "c", "d"], target="t", transport=Odd({**AGREE, "d": "Tokyo"}), max_retries=0)
    decision = c.complete(QUESTION).decision
    assert decision.accepted
    failures = [str(candidate.failure) for candidate in decision.tiers[0].candidates]
    assert "no such device" in failures[0]
    assert "NoneType" in failures[1]


def test_one_answer_can_stand_in_for_a_failed_target():
    down = {name: ServerError("down", member=name) for name in "act"}
    result = cascade({**down, "b": "Tokyo"}, on_target_failure="ensemble").complete(QUESTION)
    assert (result.text, result.decision.fallback) == ("Tokyo", True)
    nothing = cascade({**down, "b": ""}, on_target_failure="ensemble")
    with pytest.raises(CascadeError):
        nothing.complete(QUESTION)


def test_a_failed_target_says_nothing_of_what_the_target_costs():
    free = {"input_cost_per_token": 0, "output_cost_per_token": 0}
    script = {**SCATTER, "t": ServerError("down", member="t")}
    c = cascade(script, ensemble=[{"model": name, **PRICES} for name in "abc"], target={"model": "t", **free})
    with pytest.raises(CascadeError):
        c.complete(QUESTION)
    assert c.ledger.summary().savings is None


class Never(Transport):
    """Never answers."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.started = threading.Event()

    async def complete(self, member, request, *, timeout, sample=0):
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def stream(self, member, request, *, timeout):
        yield Delta(text="first ")
        await self.complete(member, request, timeout=timeout)


def test_no_query_outlives_its_deadline():
    c = Cascade(ensemble=["a", "b"], target="t", transport=Never(), deadline=0.2)
    with pytest.raises(DeadlineExceededError):
        c.complete(QUESTION)


def test_a_slow_member_is_cut_off_and_the_others_decide():
    never = Never()
    c = Cascade(
        ensemble=["a", "b", {"model": "slow/x", "timeout": 0.05}],
        target="t",
        max_retries=0,
        transport=ScriptedTransport(AGREE),
        transports={"slow": never},
    )
    result = c.complete(QUESTION)
    assert result.text == "Tokyo"
    assert never.cancelled.is_set()
    assert result.decision.cost is None, "a request that was cut off may have been billed"


# --- streams


def collect(items):
    items = list(items)
    assert [isinstance(item, Result) for item in items] == [False] * (len(items) - 1) + [True]
    return "".join(item.text for item in items[:-1]), items[-1]


def test_streams_hold_one_answer():
    accepted, result = collect(cascade(AGREE).stream(QUESTION))
    assert accepted == result.text == "Tokyo"
    deferred, result = collect(cascade(SCATTER).stream(QUESTION))
    assert deferred == result.text == "It is Tokyo."
    assert 0 <= result.decision.first_token_s <= result.decision.latency_s


def test_a_stream_retries_only_before_its_first_piece():
    script = {**SCATTER, "t": [RateLimitError("wait", member="t", retry_after=0.0), "It is Tokyo."]}
    text, result = collect(cascade(script, max_retries=1).stream(QUESTION))
    assert text == "It is Tokyo."
    assert result.candidate.attempts == 2


def test_a_stream_falls_back_only_before_its_first_piece():
    script = {**SCATTER, "t": ServerError("down", member="t")}
    text, result = collect(cascade(script, on_target_failure="ensemble").stream(QUESTION))
    assert text == "Tokyo"
    assert result.decision.fallback


def test_a_stream_that_breaks_off_raises():
    class Breaking(ScriptedTransport):
        async def stream(self, member, request, *, timeout):
            yield Delta(text="It ")
            raise ServerError("gone", member=member.name)

    c = Cascade(ensemble=["a", "b", "c"], target="t", transport=Breaking(SCATTER), on_target_failure="ensemble")
    pieces = []
    with pytest.raises(CascadeError, match="broke off"):
        pieces.extend(c.stream(QUESTION))
    assert [piece.text for piece in pieces] == ["It "]


def test_leaving_a_stream_cancels_it_upstream():
    never = Never()
    c = Cascade(
        ensemble=["a", "b", "c"], target="never/t", transport=ScriptedTransport(SCATTER), transports={"never": never}
    )
    stream = c.stream(QUESTION)
    assert next(stream).text == "first "
    stream.close()
    assert never.cancelled.wait(5)


async def test_leaving_an_asynchronous_stream_cancels_it_upstream():
    never = Never()
    c = Cascade(
        ensemble=["a", "b", "c"], target="never/t", transport=ScriptedTransport(SCATTER), transports={"never": never}
    )
    stream = c.astream(QUESTION)
    assert (await anext(stream)).text == "first "
    await stream.aclose()
    assert await asyncio.to_thread(never.cancelled.wait, 5)


# --- threads and loops


async def test_both_kinds_of_call_work_inside_a_running_loop():
    c = cascade(AGREE)
    assert (await c.acomplete(QUESTION)).text == "Tokyo"
    assert c.complete(QUESTION).text == "Tokyo"
    items = [item async for item in c.astream(QUESTION)]
    assert items[-1].text == "Tokyo"


def test_many_threads_and_loops_share_one_cascade():
    c = cascade({"*": lambda request: request.messages[-1]["content"]})
    wrong = []

    def synchronous(start):
        wrong.extend(n for n in range(start, start + 20) if c.complete(str(n)).text != str(n))

    def asynchronous(start):
        async def run():
            results = await asyncio.gather(*(c.acomplete(str(n)) for n in range(start, start + 20)))
            wrong.extend(n for n, result in enumerate(results, start) if result.text != str(n))

        asyncio.run(run())

    threads = [
        threading.Thread(target=target, args=(n * 100,)) for n in range(6) for target in (synchronous, asynchronous)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert c.ledger.summary().queries == 240


async def test_cancelling_the_caller_cancels_the_members():
    never = Never()
    c = Cascade(ensemble=["a", "b"], target="t", transport=never)
    task = asyncio.create_task(c.acomplete(QUESTION))
    assert await asyncio.to_thread(never.started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(never.cancelled.wait, 5)


def test_a_synchronous_call_on_the_engines_own_loop_is_refused():
    inner = cascade(AGREE)
    outer = cascade({**SCATTER, "t": lambda request: inner.complete(QUESTION).text})
    with pytest.raises(CascadeError, match="asynchronous method"):
        outer.complete(QUESTION)


async def test_an_asynchronous_call_on_the_engines_own_loop_works():
    inner = cascade(AGREE)

    class Nested(ScriptedTransport):
        async def complete(self, member, request, *, timeout, sample=0):
            if member.name == "t":
                return (await inner.acomplete(QUESTION)).candidate
            return await super().complete(member, request, timeout=timeout)

    outer = Cascade(ensemble=["a", "b", "c"], target="t", transport=Nested(SCATTER))
    assert (await outer.acomplete(QUESTION)).text == "Tokyo"


# --- money


def test_every_call_is_charged_and_savings_are_against_always_target():
    member = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    answer = Candidate("x", text="Tokyo", usage=Usage(100, 10))
    script = {"a": answer, "b": answer, "t": answer}
    c = Cascade(
        ensemble=[{"model": "a", **member}, {"model": "b", **member}],
        target={"model": "t", "input_cost_per_token": 1e-5, "output_cost_per_token": 1e-5},
        transport=ScriptedTransport(script),
    )
    decision = c.complete(QUESTION).decision
    assert decision.cost == pytest.approx(220e-6)
    assert decision.always_target_cost == pytest.approx(1100e-6)
    summary = c.ledger.summary()
    assert summary.savings == pytest.approx(880e-6)
    assert summary.cost_ratio == pytest.approx(0.2)
    assert (summary.queries, summary.accepted, summary.deferred, summary.calls) == (1, 1, 0, 2)
    assert "saved" in str(summary)


def test_a_deferred_query_costs_more_than_the_target_alone():
    c = cascade(SCATTER, ensemble=[{"model": name, **PRICES} for name in "abc"], target={"model": "t", **PRICES})
    decision = c.complete(QUESTION).decision
    assert decision.cost > decision.always_target_cost > 0
    assert "LOST" in str(c.ledger.summary())


def test_an_unknown_price_is_unknown():
    c = cascade(AGREE, ensemble=["a", {"model": "b", **PRICES}, "c"], target={"model": "t", **PRICES})
    decision = c.complete(QUESTION).decision
    assert decision.cost is None
    assert c.ledger.summary().unpriced_queries == 1
    assert c.ledger.summary().savings is None


def test_failed_attempts_are_in_the_cost():
    paid = Candidate("x", text="Tokyo", cost=0.5)
    script = {"a": paid, "b": [ServerError("down", member="b"), paid], "t": "no"}
    c = Cascade(ensemble=["a", "b"], target="t", transport=ScriptedTransport(script), max_retries=1)
    assert c.complete(QUESTION).decision.cost == 1.0


# --- the record


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


# --- life cycle


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
