"""Recording: what is asked, what is kept, and that nothing is paid for twice."""

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from semcascade import Candidate, Cascade, ConfigError, RecordedTransport, ScriptedTransport, Usage
from semcascade.errors import InputError, MemberTimeoutError, ServerError
from semcascade.evaluation import arecord, read_rows, record
from semcascade.run_form import json_line, read_header
from tests.support.openai_server import Delay, OpenAIServer, Stall, Status

TEAM = {"ensemble": ["a", "b"], "target": "t", "max_retries": 0}
PRICED = {"input_cost_per_token": 0.0, "output_cost_per_token": 0.001}


def said(text, tokens=10, **more):
    return Candidate("", text, usage=Usage(5, tokens), **more)


def echo(request):
    return request.messages[-1]["content"].upper()


def asked(transport):
    return sorted((name, request.messages[-1]["content"]) for name, request in transport.requests)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run.jsonl"


def test_every_member_is_asked_every_prompt_once(run):
    script = ScriptedTransport({"*": echo})
    states = []
    found = record(
        [{"id": "1", "input": "x", "reference": "X"}, "y"], TEAM, run, transport=script, progress=states.append
    )
    assert asked(script) == [(name, text) for name in "abt" for text in "xy"]
    assert (found.done, found.prompts, found.asked, found.reused, found.failures) == (2, 2, 6, 0, {})
    first, second = read_rows(run)
    assert (first.id, first.reference, first.answers["t"].text) == ("1", "X", "X")
    assert set(second.answers) == {"a", "b", "t"}
    assert states[-1].asked == 6
    header = read_header(run)
    assert (header.tiers, header.target, header.kind) == ((("a", "b"), ("t",)), "t", "run")
    assert list(run.parent.iterdir()) == [run]


def test_a_run_replays_through_the_cascade_without_a_call(run):
    record(["x", "y"], TEAM, run, transport=ScriptedTransport({"a": "1", "b": "1", "t": "2"}))
    with Cascade(TEAM, transport=RecordedTransport.from_run(run)) as cascade:
        assert cascade.complete("y").text == "1"


def test_what_is_known_is_not_asked_again(run):
    record(["x"], TEAM, run, transport=ScriptedTransport({"*": echo}))
    script = ScriptedTransport({"*": echo})
    found = record(["x", "y"], {**TEAM, "ensemble": ["a", "b", "c"]}, run, transport=script)
    assert asked(script) == [("a", "y"), ("b", "y"), ("c", "x"), ("c", "y"), ("t", "y")]
    assert (found.asked, found.reused) == (5, 3)
    assert set(read_header(run).members) == {"a", "b", "c", "t"}


def test_rows_keep_the_order_of_the_prompts_and_others_stay_behind_them(run):
    record([{"id": "z", "input": "z"}, {"id": "x", "input": "x"}], TEAM, run, transport=ScriptedTransport({"*": echo}))
    prompts = [{"id": "w", "input": "w"}, {"id": "x", "input": "x", "task": "letters"}]
    record(prompts, TEAM, run, transport=ScriptedTransport({"*": echo}))
    assert [row.id for row in read_rows(run)] == ["w", "x", "z"]


def test_samples_are_asked_for_and_only_those_that_are_missing_again(run):
    team = {"ensemble": [{"model": "a", "samples": 3}], "target": "t", "max_retries": 0}
    down = ServerError("down", member="a")
    record(["x"], team, run, transport=ScriptedTransport({"a": ["1", down, "3"], "t": "4"}))
    (row,) = read_rows(run)
    assert [answer.ok for answer in row.all_answers("a")] == [True, False, True]
    script = ScriptedTransport({"a": "2"})
    found = record(["x"], team, run, transport=script, retry_failed=True)
    (row,) = read_rows(run)
    assert [answer.text for answer in row.all_answers("a")] == ["1", "2", "3"]
    assert (len(script.requests), found.asked, found.reused, found.failures) == (1, 1, 3, {})


def test_failures_are_kept_as_failures_and_tried_again_on_demand(run):
    down = ServerError("down", member="b")
    first = record(["x"], TEAM, run, transport=ScriptedTransport({"a": "1", "b": down, "t": "2"}))
    assert first.failures == {"b": 1}
    (row,) = read_rows(run)
    assert (type(row.answers["b"].failure), str(row.answers["b"].failure)) == (ServerError, "b: down")
    script = ScriptedTransport({"*": echo})
    assert record(["x"], TEAM, run, transport=script).asked == 0
    assert record(["x"], TEAM, run, transport=script, retry_failed=True).failures == {}
    assert asked(script) == [("b", "x")]


def test_what_a_failure_had_cost_stays_counted(run):
    team = {"ensemble": ["a", {"model": "b", **PRICED}], "target": "t", "max_retries": 0}
    down = ServerError("down", member="b")
    failed = Candidate("b", failure=down, cost=0.25, attempts=2)
    record(["x"], team, run, transport=ScriptedTransport({"a": "1", "b": failed, "t": "2"}))
    record(["x"], team, run, transport=ScriptedTransport({"b": said("1")}), retry_failed=True)
    (row,) = read_rows(run)
    assert (row.answers["b"].cost, row.answers["b"].attempts) == (pytest.approx(0.26), 3)


# --- money

PAID = {"ensemble": [{"model": "a", **PRICED}, {"model": "b", **PRICED}], "target": {"model": "t", **PRICED}}


def test_asking_stops_before_the_limit(run):
    prompts = [str(i) for i in range(50)]
    found = record(prompts, PAID, run, transport=ScriptedTransport({"*": said("yes")}), max_cost=0.2)
    assert found.out_of_money
    assert found.done == 6, "a prompt costs 3 · 10 · $0.001"
    assert found.cost == pytest.approx(0.18)
    assert len(list(read_rows(run))) == 6
    more = record(prompts, PAID, run, transport=ScriptedTransport({"*": said("yes")}), max_cost=0.3)
    assert (more.done, more.asked, more.cost) == (10, 12, pytest.approx(0.3))
    assert not record(prompts, PAID, run, transport=ScriptedTransport({"*": said("yes")})).out_of_money


def test_a_limit_holds_from_the_first_prompt_where_answers_are_bounded(run):
    bounded = {"ensemble": [{"model": "a", "max_tokens": 10, **PRICED}, {"model": "b", "max_tokens": 10, **PRICED}],
               "target": {"model": "t", "max_tokens": 10, **PRICED}}  # fmt: skip
    script = ScriptedTransport({"*": said("yes")})
    found = record(["x", "y"], bounded, run, transport=script, max_cost=0.029)
    assert (found.asked, found.cost, script.requests) == (0, 0.0, [])
    assert record(["x", "y"], bounded, run, transport=script, max_cost=0.03).done == 1


def test_calls_of_unknown_cost_count_against_the_limit(run):
    late = MemberTimeoutError("too slow", member="a")
    script = ScriptedTransport({"a": [said("yes"), late], "b": said("yes"), "t": said("yes")})
    found = record([str(i) for i in range(9)], {**PAID, "max_retries": 0}, run, transport=script, max_cost=0.12)
    assert found.done == 4
    assert (found.cost, found.unpriced) == (pytest.approx(0.09), 3), "a timeout may have been billed"


def test_a_limit_needs_prices(run):
    with pytest.raises(ConfigError, match="price of 'a' is not known"):
        record(["x"], TEAM, run, transport=ScriptedTransport({"*": "1"}), max_cost=1)
    assert not run.exists()


# --- what is wrong is told before anything is paid for


@pytest.mark.parametrize(
    ("prompts", "options", "words"),
    [
        (["x", 4], {}, r"prompts\[1\]"),
        (["x"], {"concurrency": 0}, "concurrency"),
        (["x"], {"max_cost": float("nan")}, "max_cost"),
        (["x"], {"limit": -1}, "limit"),
        ("absent.jsonl", {}, "cannot read"),
    ],
)
def test_wrong_arguments(run, prompts, options, words):
    script = ScriptedTransport({"*": "1"})
    with pytest.raises((ConfigError, InputError), match=words):
        record(prompts, TEAM, run, transport=script, **options)
    assert script.requests == []
    assert list(run.parent.iterdir()) == []


def test_another_prompt_under_the_same_id_is_refused(run):
    record([{"id": "1", "input": "x"}], TEAM, run, transport=ScriptedTransport({"*": echo}))
    with pytest.raises(InputError, match="another prompt under the id '1'"):
        record([{"id": "1", "input": "y"}], TEAM, run, transport=ScriptedTransport({"*": echo}))


def test_a_member_with_other_settings_is_refused(run):
    record(["x"], TEAM, run, transport=ScriptedTransport({"*": echo}))
    team = {**TEAM, "ensemble": [{"model": "a", "temperature": 0.5}, "b"]}
    with pytest.raises(InputError, match=r"run.jsonl:1: 'a' was recorded with other settings \(params\)"):
        record(["x"], team, run, transport=ScriptedTransport({"*": echo}))
    limits = {**TEAM, "ensemble": [{"model": "a", "timeout": 5, "max_retries": 1}, "b"]}
    assert record(["x"], limits, run, transport=ScriptedTransport({"*": echo})).asked == 0


def test_one_name_for_two_members_is_refused(run):
    tiers = [{"members": ["a", "b"]}, {"members": [{"model": "a", "temperature": 1.0}, "c"]}, {"members": ["t"]}]
    with pytest.raises(ConfigError, match="'a' stands for two different members"):
        record(["x"], {"tiers": tiers}, run, transport=ScriptedTransport({"*": echo}))


def test_a_file_that_is_no_run_is_left_alone(run):
    run.write_text('{"id": "1", "input": "x", "outputs": {}}\n')
    with pytest.raises(InputError, match="not a row of a run"):
        record(["x"], TEAM, run, transport=ScriptedTransport({"*": echo}))
    assert run.read_text().startswith('{"id": "1"')
    assert list(run.parent.iterdir()) == [run]


def test_what_was_paid_for_stays_beside_a_run_that_cannot_be_read(run):
    record(["x"], TEAM, run, transport=ScriptedTransport({"*": echo}))
    journal = run.with_name("run.jsonl.journal")
    journal.write_bytes(run.read_bytes())
    run.write_bytes(run.read_bytes()[:-20])
    kept = journal.read_bytes()
    with pytest.raises(InputError, match="not JSON"):
        record(["x"], TEAM, run, transport=ScriptedTransport({"*": echo}))
    assert journal.read_bytes() == kept


def test_two_recordings_of_one_run_do_not_mix(run):
    refused = []

    class Twice(ScriptedTransport):
        async def complete(self, *args, **kwargs):
            refused.append(await asyncio.to_thread(again))
            return await super().complete(*args, **kwargs)

    def again():
        with pytest.raises(InputError, match="another recording is writing this run"):
            record(["x"], TEAM, run, transport=ScriptedTransport({"*": echo}))
        return True

    assert record(["x"], TEAM, run, transport=Twice({"*": echo})).done == 1
    assert refused == [True] * 3


async def test_a_cancelled_recording_keeps_what_came(run):
    came = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Half(ScriptedTransport):
        async def complete(self, member, request, **kwargs):
            if member.name != "a":
                await asyncio.sleep(60)
            return await super().complete(member, request, **kwargs)

    def progress(state):
        if state.asked == 2:
            loop.call_soon_threadsafe(came.set)

    task = asyncio.create_task(arecord(["x", "y"], TEAM, run, transport=Half({"*": echo}), progress=progress))
    await came.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [set(row.answers) for row in read_rows(run)] == [{"a"}, {"a"}]


def test_a_journal_that_cannot_be_written_loses_nothing(run, monkeypatch):
    from semcascade.evaluation.journal import Journal

    honest = Journal.keep
    kept = []

    def full(self, row_id, sample, answer):
        if len(kept) == 4:
            raise InputError("cannot write: no space left", field="out")
        kept.append(answer)
        honest(self, row_id, sample, answer)

    monkeypatch.setattr(Journal, "keep", full)
    with pytest.raises(InputError, match="no space left"):
        record(["x", "y"], TEAM, run, transport=ScriptedTransport({"*": echo}), concurrency=1)
    monkeypatch.undo()
    found = record(["x", "y"], TEAM, run, transport=ScriptedTransport({"*": echo}))
    assert (found.asked, found.reused) == (2, 4)


def test_a_torn_last_line_of_a_journal_is_asked_for_again(run):
    record(["x"], TEAM, run, transport=ScriptedTransport({"*": echo}))
    (header, row) = run.read_bytes().splitlines(keepends=True)
    data = json.loads(row)
    prompt = {key: value for key, value in data.items() if key != "answers"}
    lines = [
        header,
        json_line({"prompt": prompt}),
        json_line({"id": data["id"], "member": "a", "sample": 0, "answer": {"text": "X"}}),
    ]
    torn = json_line({"id": data["id"], "member": "b", "sample": 0, "answer": {"text": "X"}})[:-9]
    run.unlink()
    run.with_name("run.jsonl.journal").write_bytes(b"".join([*lines, torn]))
    script = ScriptedTransport({"*": echo})
    record(["x"], TEAM, run, transport=script)
    assert asked(script) == [("b", "x"), ("t", "x")]


# --- over the loopback


def members(server, **settings):
    named = {name: server.member(name, name=name, **settings) for name in "abt"}
    return {"ensemble": [named["a"], named["b"]], "target": named["t"], "timeout": 20}


def test_faults_are_met_by_the_engines_own_patience(run):
    with OpenAIServer({"a": "1", "b": "1", "t": "1"}) as server:
        server.fail("a", Status(500), at=1)
        server.fail("b", Status(429, retry_after=0.01), at=1)
        server.fail("t", Status(400, message="not this one"), at=2)
        found = record(["x", "y"], members(server), run, concurrency=1)
    first, second = read_rows(run)
    assert (first.answers["a"].attempts, first.answers["b"].attempts, second.answers["a"].attempts) == (2, 2, 1)
    assert found.failures == {"t": 1}
    assert "not this one" in str(second.answers["t"].failure)
    assert "none" not in run.read_text().lower().replace("nonetype", ""), "the key"


def test_prompts_are_asked_at_once_but_not_more_than_allowed(run):
    stall = Stall()
    with OpenAIServer({"a": "1", "b": "1", "t": "1"}) as server:
        server.fail("*", stall)
        with ThreadPoolExecutor() as pool:
            future = pool.submit(record, [str(i) for i in range(5)], members(server), run, concurrency=2)
            server.wait_until(lambda: len(server.requests) == 6)
            assert len({request.body["messages"][0]["content"] for request in server.asked()}) == 2
            stall.release()
            assert future.result(30).done == 5


KILLED = """
    import sys
    from semcascade.evaluation import record
    base, out = sys.argv[1:]
    member = lambda name: {"model": f"openai/{name}", "name": name, "api_base": base, "api_key": "none"}
    team = {"ensemble": [member("a"), member("b")], "target": member("t"), "timeout": 60, "max_retries": 0}
    found = record([str(i) for i in range(6)], team, out, concurrency=2)
    print(found.asked, found.reused)
"""


def test_a_killed_recording_goes_on_and_pays_for_nothing_twice(run):
    command = [sys.executable, "-c", textwrap.dedent(KILLED)]
    stall = Stall()
    with OpenAIServer({"a": "1", "b": "2", "t": "3"}) as server:
        server.fail("t", stall, at=range(3, 99))
        arguments = [*command, server.base_url, str(run)]
        first = subprocess.Popen(arguments)
        journal = run.with_name("run.jsonl.journal")
        server.wait_until(lambda: stall.reached.is_set() and len(server.asked("t")) == 4, timeout=60)
        wait_for(lambda: journal.read_bytes().count(b'"answer"') == 10)
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        assert not run.exists()
        stall.release()
        server.heal()
        second = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
        assert second.returncode == 0, second.stderr
        assert second.stdout.split() == ["8", "10"]
        assert [len(server.asked(name)) for name in "abt"] == [6, 6, 8], "only what was under way is asked again"
    assert [set(row.answers) for row in read_rows(run)] == [{"a", "b", "t"}] * 6
    assert not journal.exists()


def wait_for(happened, seconds=30):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_slow_answers_do_not_hold_up_others(run):
    with OpenAIServer({"a": "1", "b": "1", "t": "1"}) as server:
        server.fail("t", Delay(0.3), at=1)
        found = record(["x", "y", "z"], members(server), run, concurrency=2)
    assert found.done == 3
