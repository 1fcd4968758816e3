"""The log of decisions: what it holds, that it holds nothing it must not, and that nobody waits for it."""

import asyncio
import json
import multiprocessing
import pickle
import stat
import threading
import time

import pytest

from semcascade import (
    Candidate,
    Cascade,
    CascadeConfig,
    ConfigError,
    DecisionLog,
    RecordedTransport,
    ScriptedTransport,
    Usage,
)
from semcascade.config import load_config
from semcascade.errors import ServerError
from semcascade.evaluation import read_rows
from semcascade.run_form import read_header

TEAM = {"ensemble": ["a", "b"], "target": "t", "max_retries": 0}
AGREE = {"a": "Tokyo", "b": "Tokyo.", "t": "It is Kyoto"}
SCATTER = {"a": "Tokyo", "b": "Kyoto", "t": "Tokyo"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "decisions.jsonl"


def ask(log, script=AGREE, n=1, **settings):
    with Cascade({**TEAM, **settings}, log=log, transport=ScriptedTransport(script)) as cascade:
        for i in range(n):
            cascade.complete(f"{i}?")
    return cascade


def test_decisions_are_logged_in_the_form_of_a_run(path):
    ask(str(path), n=2)
    ask(path, SCATTER)
    header = read_header(path)
    assert (header.kind, header.tiers, header.target) == ("log", (("a", "b"), ("t",)), "t")
    first, second, third = read_rows(path)
    assert first.messages == ({"role": "user", "content": "0?"},)
    assert {name: answer.text for name, answer in first.answers.items()} == {"a": "Tokyo", "b": "Tokyo."}
    assert (first.decision["accepted"], first.decision["tiers"][0]["score"]) == (True, 1.0)
    assert set(third.answers) == {"a", "b", "t"}
    assert third.decision["member"] == "t"
    assert len({first.id, second.id, third.id}) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_replays_through_the_engine(path):
    ask(path, SCATTER)
    with Cascade(TEAM, transport=RecordedTransport.from_run(path)) as cascade:
        assert cascade.complete("0?").decision.member == "t"


def test_tools_samples_and_failures_are_logged(path):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    script = ScriptedTransport({"a": ["1", "2", ServerError("down", member="a")], "t": "3"})
    team = {"ensemble": [{"model": "a", "samples": 3}], "target": "t", "max_retries": 0}
    with Cascade(team, log=path, transport=script) as cascade:
        cascade.complete("?", tools=[tool], response_format={"type": "json_object"})
    (row,) = read_rows(path)
    assert [answer.ok for answer in row.all_answers("a")] == [True, True, False]
    assert (row.tools, row.response_format) == ((tool,), {"type": "json_object"})


def test_queries_that_fail_are_logged_too(path):
    down = ServerError("down", member="t")
    with (
        Cascade(TEAM, log=path, transport=ScriptedTransport({**SCATTER, "t": down})) as cascade,
        pytest.raises(Exception, match="down"),
    ):
        cascade.complete("?")
    (row,) = read_rows(path)
    assert (row.decision["member"], row.answers["t"].ok) == ("", False)


def test_what_answers_in_the_targets_place_is_logged(path):
    script = {**SCATTER, "t": ServerError("down", member="t"), "spare": "Tokyo"}
    ask(path, script, fallback=["spare"])
    (row,) = read_rows(path)
    assert row.decision["member"] == "spare"
    assert row.answers["spare"].text == "Tokyo"
    assert row.decision["tiers"][0]["index"] == 0


def test_streams_are_logged(path):
    with Cascade(TEAM, log=path, transport=ScriptedTransport(SCATTER)) as cascade:
        list(cascade.stream("?"))
    assert next(read_rows(path)).answers["t"].text == "Tokyo"


# --- redaction


def test_rows_are_redacted_before_they_are_written(path):
    def redact(row):
        if "secret" in row["messages"][0]["content"]:
            return None
        row["messages"] = [{"role": "user", "content": "***"}]
        return row

    log = DecisionLog(path=str(path), redact=redact)
    with Cascade(TEAM, log=log, transport=ScriptedTransport(AGREE)) as cascade:
        cascade.complete("my address?")
        cascade.complete("a secret")
    assert [row.messages[0]["content"] for row in read_rows(path)] == ["***"]
    assert "address" not in path.read_text()


def test_what_a_redactor_fails_on_is_not_written(path, caplog):
    def redact(row):
        raise KeyError(row["messages"][0]["content"])

    ask(DecisionLog(path=str(path), redact=redact))
    assert not path.exists()
    assert "a decision was not logged: KeyError" in caplog.text
    assert "0?" not in caplog.text


def redacting(row):
    return None


def test_a_copy_without_the_redactor_has_no_log(path):
    config = CascadeConfig.build(TEAM, log={"path": str(path), "redact": redacting})
    assert "log" not in config.to_dict()
    assert CascadeConfig.build(TEAM, log=str(path)).to_dict()["log"] == {"path": str(path)}
    copy = pickle.loads(pickle.dumps(Cascade(config, transport=ScriptedTransport(AGREE))))
    assert copy.config.log.redact is redacting


# --- where


def test_a_configuration_file_names_its_log_from_its_own_folder(tmp_path):
    file = tmp_path / "team.toml"
    file.write_text('ensemble = ["a", "b"]\ntarget = "t"\nlog = {path = "log.jsonl", shadow = 0.5}\n')
    assert load_config(file).log == DecisionLog(path=str(tmp_path / "log.jsonl"), shadow=0.5)
    file.write_text('ensemble = ["a", "b"]\ntarget = "t"\nlog = "log.jsonl"\n')
    assert load_config(file).log.path == str(tmp_path / "log.jsonl")


@pytest.mark.parametrize(
    ("log", "field"),
    [
        ("/nowhere/at/all.jsonl", "log.path"),
        ("", "log"),
        ({"path": "x", "shadow": 2}, "log.shadow"),
        ({"path": "x", "shaddow": 1}, "log"),
        ({"path": "x", "redact": "os:system"}, "log.redact"),
        ({}, "log.path"),
    ],
)
def test_wrong_settings_are_refused_at_the_door(log, field):
    with pytest.raises(ConfigError, match=field):
        Cascade(TEAM, log=log, transport=ScriptedTransport(AGREE))


def test_a_log_may_be_moved_away(path):
    with Cascade(TEAM, log=path, transport=ScriptedTransport(AGREE)) as cascade:
        cascade.complete("1?")
        cascade._chronicle._writer.flush()
        path.rename(path.with_suffix(".1"))
        cascade.complete("2?")
    assert [row.messages[0]["content"] for row in read_rows(path)] == ["2?"]
    assert read_header(path).kind == "log"


def test_what_a_killed_writer_left_is_cut_off(path):
    ask(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id": "torn')
    ask(path)
    assert path.read_bytes().startswith(whole)
    assert len(list(read_rows(path))) == 2


def test_threads_write_whole_rows(path):
    with Cascade(TEAM, log=path, transport=ScriptedTransport(AGREE)) as cascade:
        threads = [threading.Thread(target=lambda: [cascade.complete("?") for _ in range(10)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(list(read_rows(path))) == 40


def write_some(path):
    ask(path, n=20)


def test_processes_write_whole_rows(path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_some, args=(path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(list(read_rows(path))) == 60
    assert path.read_bytes().count(b"semcascade_run") == 1


async def test_a_slow_disk_holds_up_nobody(path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr("semcascade.engine.log._Writer._append", lambda self, line: release.wait(30))
    cascade = Cascade(TEAM, log=path, transport=ScriptedTransport(AGREE))
    started = time.monotonic()
    await asyncio.gather(*(cascade.acomplete("?") for _ in range(5)))
    assert time.monotonic() - started < 20
    release.set()
    await cascade.aclose()


def test_more_rows_than_can_wait_are_left_out_and_said(path, monkeypatch, caplog):
    release = threading.Event()
    monkeypatch.setattr("semcascade.engine.log._MOST_WAITING", 2)
    monkeypatch.setattr("semcascade.engine.log._Writer._append", lambda self, line: release.wait(30))
    cascade = Cascade(TEAM, log=path, transport=ScriptedTransport(AGREE))
    for _ in range(4):
        cascade.complete("?")
    release.set()
    cascade.close()
    assert caplog.text.count("was not logged: 2 wait") == 2


def test_a_disk_that_is_full_costs_no_answer(path, monkeypatch, caplog):
    def full(self, line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("semcascade.engine.log._Writer._append", full)
    ask(path)
    assert "No space left on device" in caplog.text


# --- audits


def paid(text, cost):
    return Candidate("", text, cost=cost, usage=Usage(1, 1))


def test_some_accepted_queries_are_audited_and_charged(path):
    script = {"a": paid("Tokyo", 0.01), "b": paid("Tokyo", 0.01), "t": paid("Kyoto", 0.5)}
    cascade = ask({"path": path, "shadow": 1.0}, script, n=3)
    rows = list(read_rows(path))
    assert [row.answers["t"].text for row in rows] == ["Kyoto"] * 3
    assert rows[0].decision["audit"] == {"share": 1.0, "loss": 1.0, "by": "target:auto"}
    summary = cascade.ledger.summary()
    assert (summary.queries, summary.accepted, summary.shadows, summary.calls) == (3, 3, 3, 9)
    assert (summary.shadow_cost, summary.cost) == (pytest.approx(1.5), pytest.approx(1.56))
    assert cascade.ledger.loss().mean == 1.0


def test_the_answer_does_not_wait_for_its_audit(path):
    asked, release = threading.Event(), threading.Event()

    class Slow(ScriptedTransport):
        async def complete(self, member, request, **kwargs):
            if member.name == "t":
                asked.set()
                await asyncio.to_thread(release.wait, 30)
            return await super().complete(member, request, **kwargs)

    cascade = Cascade(TEAM, log={"path": path, "shadow": 1.0}, transport=Slow(AGREE))
    assert cascade.complete("?").text == "Tokyo"
    assert asked.wait(10)
    assert not path.exists(), "the row is written when it is whole"
    release.set()
    cascade.close()
    assert next(read_rows(path)).answers["t"].text == "It is Kyoto"


def test_deferred_queries_need_no_audit(path):
    script = ScriptedTransport(SCATTER)
    with Cascade(TEAM, log={"path": path, "shadow": 1.0}, transport=script) as cascade:
        cascade.complete("?")
    assert [name for name, _ in script.requests] == ["a", "b", "t"]
    assert "audit" not in next(read_rows(path)).decision


def test_a_failed_audit_is_charged_and_says_nothing_of_the_loss(path):
    cascade = ask({"path": path, "shadow": 1.0}, {**AGREE, "t": ServerError("down", member="t")})
    (row,) = read_rows(path)
    assert row.decision["audit"] == {"share": 1.0}
    assert not row.answers["t"].ok
    assert (cascade.ledger.summary().shadows, cascade.ledger.loss().audits) == (1, 0)


def test_the_share_is_kept_and_the_log_shows_who_was_chosen(path):
    cascade = ask({"path": path, "shadow": 0.25, "seed": 3}, n=400)
    rows = list(read_rows(path))
    audited = [row for row in rows if "audit" in row.decision]
    assert 60 <= len(audited) <= 140
    assert all(cascade._chronicle._chosen(row.id) == ("audit" in row.decision) for row in rows)


def test_an_audit_under_way_is_cut_short_at_the_end(path, monkeypatch):
    monkeypatch.setattr("semcascade.engine.log._CLOSING_S", 0.05)

    class Stuck(ScriptedTransport):
        async def complete(self, member, request, **kwargs):
            if member.name == "t":
                await asyncio.sleep(60)
            return await super().complete(member, request, **kwargs)

    with Cascade(TEAM, log={"path": path, "shadow": 1.0}, transport=Stuck(AGREE)) as cascade:
        cascade.complete("?")
    (row,) = read_rows(path)
    assert "t" not in row.answers
    assert json.loads(path.read_text().splitlines()[1])["decision"]["audit"] == {"share": 1.0}
