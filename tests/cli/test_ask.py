"""`semcascade ask`: the answer, the decision, and where each of them goes."""

import json

import pytest

from semcascade.cli.settings import HOW_TO_START
from tests.cli.conftest import CHEAP
from tests.support.openai_server import Delay, Reply, Reset, Status, closed_address

QUESTION = "What is the capital of Japan?"


def test_the_answer_alone_goes_to_standard_output(shell, configured):
    ran = shell("ask", "-c", configured(), QUESTION)
    assert (ran.code, ran.out, ran.err) == (0, "Tokyo\n", "")


def test_a_deferred_question_gets_the_targets_answer(shell, configured, server):
    ran = shell("ask", "-c", configured(("a", "x", "y")), QUESTION)
    assert (ran.code, ran.out) == (0, "The capital of Japan is Tokyo.\n")
    assert len(server.asked("t")) == 1


def test_words_that_the_shell_took_apart_are_one_question(shell, configured, server):
    assert shell("ask", "-c", configured(), "What", "is", "it?").code == 0
    assert {request.body["messages"][-1]["content"] for request in server.asked()} == {"What is it?"}


def test_a_question_from_standard_input(shell, configured, server):
    ran = shell("ask", "-c", configured(), "-", stdin="\ufeffWas ist 京都?\n".encode())
    assert ran.code == 0
    assert server.asked()[0].body["messages"] == [{"role": "user", "content": "Was ist 京都?\n"}]


def test_bytes_that_are_no_text_do_not_stop_the_question(shell, configured, server):
    assert shell("ask", "-c", configured(), "-", stdin=b"caf\xe9?").code == 0
    assert shell("ask", "-c", configured(), "caf\udce9?").code == 0
    assert [request.body["messages"][0]["content"] for request in server.asked()] == ["caf\ufffd?"] * 3 + ["caf??"] * 3


def test_a_system_message_goes_first(shell, configured, server):
    shell("ask", "-c", configured(), "--system", "Be brief.", QUESTION)
    assert server.asked()[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
    ]


# --- the decision


def test_explain_tells_who_said_what_and_what_it_cost(shell, configured):
    ran = shell("ask", "-e", "-c", configured(("a", "b", "x")), "--threshold", "0.5", QUESTION)
    assert ran.out == "Tokyo\n"
    lines = [line.split() for line in ran.err.splitlines() if line.strip()]
    assert lines[0] == ["tier", "member", "said", "agreement", "cost", "time"]
    rows = [line for line in lines if "$" in " ".join(line) and line[-1] == "s"]
    assert [row[:-3] for row in rows] == [
        ["ensemble", "●", "a", "Tokyo", "0.50"],
        ["b", "Tokyo.", "0.50"],
        ["x", "Kyoto", "0.00"],
    ]
    for said in (
        "accepted a, most central answer: agreement 0.50 ≥ 0.50",
        "agreement 0.50, threshold 0.50",
        "semantic entropy 0.64 nats",
        "the target alone: $",
        "saved",
    ):
        assert said in ran.err


def test_explain_shows_a_failed_member_and_an_unknown_cost(shell, configured, server):
    server.fail("x", Status(500, message="out of order"))
    free = server.member("b", name="unpriced")
    ensemble = [server.member("a", name="a", **CHEAP), free, server.member("x", name="x", **CHEAP)]
    ran = shell("ask", "-e", "-c", configured(ensemble=ensemble), QUESTION)
    assert (ran.code, ran.out) == (0, "Tokyo\n")
    assert "✗" in ran.err
    assert "out of order" in ran.err
    assert "unknown" in ran.err
    assert "total unknown cost" in ran.err


def test_a_fallback_is_called_one(shell, configured, server):
    server.fail("t", Status(500))
    ran = shell("ask", "-e", "-c", configured(("a", "x", "y"), on_target_failure="ensemble"), QUESTION)
    assert (ran.code, ran.out) == (0, "Tokyo\n")
    assert "fallback" in ran.err
    assert "stands in" in ran.err


def test_json_has_the_promised_shape(shell, configured, server):
    server.fail("x", Status(500))
    ran = shell("ask", "--json", "-c", configured(("a", "b", "x")), QUESTION)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["answer"] == "Tokyo"
    decision = ran.json["decision"]
    wanted = {"tier", "accepted", "signal", "score", "threshold", "reason", "candidates", "cost", "latency_s"}
    assert wanted <= decision.keys()
    assert (decision["tier"], decision["accepted"], decision["signal"]) == ("ensemble", True, "agreement")
    assert (decision["score"], decision["threshold"]) == (1.0, 0.6)
    assert [candidate["member"] for candidate in decision["candidates"]] == ["a", "b", "x"]
    for candidate in decision["candidates"]:
        assert {"member", "text", "agreement", "cost", "latency_s", "error"} <= candidate.keys()
    assert [candidate["error"] is None for candidate in decision["candidates"]] == [True, True, False]
    assert decision["cost"] == pytest.approx(sum(candidate["cost"] for candidate in decision["candidates"]))


def test_json_stays_json_when_nobody_answers(shell, configured, server):
    server.fail("*", Status(500, message="out of order"))
    ran = shell("ask", "--json", "-c", configured(), QUESTION)
    assert ran.code == 1
    assert ran.json["answer"] is None
    assert ran.json["error"]["type"] == "CascadeError"
    assert "out of order" in ran.json["error"]["message"]
    assert [candidate["text"] for candidate in ran.json["decision"]["candidates"]] == [""] * 4
    assert ran.err.startswith("error: no member answered\n")


def test_json_of_a_wrong_configuration(shell):
    ran = shell("ask", "--json", "--ensemble", "openai/a", QUESTION)
    assert (ran.code, ran.json["error"]["type"], ran.json["decision"]) == (2, "ConfigError", None)


def test_explain_shows_what_was_tried_when_nobody_answers(shell, configured, server):
    server.fail("t", Status(500, message="out of order"))
    ran = shell("ask", "-e", "-c", configured(("a", "x", "y")), QUESTION)
    assert (ran.code, ran.out) == (1, "")
    assert "Kyoto" in ran.err
    assert ran.err.splitlines()[-2] == "error: no member answered"


# --- streams


def test_a_stream_holds_the_one_answer(shell, configured, server):
    server.script["t"] = Reply("The capital is Tokyo.", chunks=["The ", "capital is", " Tokyo."])
    assert shell("ask", "--stream", "-c", configured(("a", "x", "y")), QUESTION).out == "The capital is Tokyo.\n"
    assert shell("ask", "--stream", "-c", configured(), QUESTION).out == "Tokyo\n"
    ran = shell("ask", "--stream", "-e", "-c", configured(("a", "x", "y")), QUESTION)
    assert "deferred to t" in ran.err


def test_a_stream_that_breaks_off_is_an_error(shell, configured, server):
    server.script["t"] = Reply("one two three", chunks=["one ", "two ", "three"])
    server.fail("t", Reset(after=3))
    ran = shell("ask", "--stream", "-c", configured(("a", "x", "y")), QUESTION)
    assert (ran.code, ran.out) == (1, "one two \n")
    assert "broke off" in ran.err


def test_a_stream_that_never_begins_leaves_standard_output_empty(shell, configured, server):
    server.fail("t", Status(500))
    ran = shell("ask", "--stream", "-c", configured(("a", "x", "y")), QUESTION)
    assert (ran.code, ran.out) == (1, "")


# --- where the settings come from


def test_flags_alone_are_a_configuration(shell, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
    monkeypatch.setenv("OPENAI_API_BASE", server.base_url)
    for ensemble in (["--ensemble", "openai/a, openai/b,"], ["--ensemble", "openai/a", "--ensemble", "openai/b"]):
        ran = shell("ask", *ensemble, "--target", "openai/t", "--json", QUESTION)
        assert ran.json["answer"] == "Tokyo"
        assert [candidate["member"] for candidate in ran.json["decision"]["candidates"]] == ["openai/a", "openai/b"]


def test_the_file_of_the_environment_then_the_one_at_hand(shell, configured, server, monkeypatch, tmp_path):
    here = tmp_path / "semcascade.toml"
    one = "".join(
        f'[[{kind}]]\nmodel = "openai/{model}"\nname = "{model}"\napi_base = "{server.base_url}"\n'
        f'api_key_env = "THE_KEY"\n'
        for kind, model in (("ensemble", "x"), ("ensemble", "y"))
    )
    target = f'target = {{model = "openai/t", name = "t", api_base = "{server.base_url}", api_key_env = "THE_KEY"}}\n'
    here.write_text(target + one)
    monkeypatch.setenv("THE_KEY", server.api_key)
    monkeypatch.chdir(tmp_path)
    assert shell("ask", QUESTION).out == "The capital of Japan is Tokyo.\n"
    monkeypatch.setenv("SEMCASCADE_CONFIG", configured())
    assert shell("ask", QUESTION).out == "Tokyo\n"
    assert shell("ask", "-c", str(here), QUESTION).out == "The capital of Japan is Tokyo.\n"


def test_flags_win_over_the_file_even_where_it_speaks_of_one_tier(shell, server, tmp_path):
    members = [server.member(model, name=model, timeout=0.05) for model in ("a", "b", "x")]
    tier = {"members": members, "threshold": 0.99, "signal": "agreement", "selection": "primary"}
    file = tmp_path / "team.json"
    file.write_text(json.dumps({"tiers": [tier, {"members": [server.member("t", name="t")]}], "max_retries": 0}))
    server.fail("a", Delay(0.3))
    flags = ["--threshold", "0.4", "--selection", "central", "--timeout", "20", "--similarity", "exact"]
    decision = shell("ask", "--json", "-c", str(file), *flags, QUESTION).json["decision"]
    assert (decision["accepted"], decision["threshold"], decision["score"]) == (True, 0.4, 0.5)
    assert decision["tiers"][0]["similarity"] == "exact"
    rate = shell("ask", "--json", "-c", str(file), "--escalation-rate", "1", "--timeout", "20", QUESTION)
    assert rate.json["decision"]["tier"] == "target"


def test_a_deadline_ends_the_question(shell, configured, server):
    server.fail("*", Delay(5))
    ran = shell("ask", "-c", configured(), "--deadline", "0.2", QUESTION)
    assert ran.code == 1
    assert "deadline" in ran.err


# --- errors


def test_caps_by_flag_hold_and_win_over_the_file(shell, configured, server):
    ran = shell("ask", "-c", configured(("a", "x", "y")), "--max-calls", "3", "--json", QUESTION)
    answer = json.loads(ran.out)
    assert (ran.code, len(server.asked())) == (1, 3)
    assert answer["error"]["type"] == "BudgetExceededError"
    assert "1 call needed, 0 of 3 left (budget.query.calls)" in answer["error"]["message"]
    assert shell("ask", "-c", configured(("a", "x", "y")), "--max-calls", "4", QUESTION).code == 0


def test_a_cap_on_cost_wants_prices(shell):
    ran = shell(
        "ask", "--ensemble", "openai/my-a,openai/my-b", "--target", "openai/my-t", "--max-cost", "0.1", QUESTION
    )
    assert ran.code == 2
    assert "budget.query.cost: the price of 'openai/my-a' is not known" in " ".join(ran.err.split())


def test_nothing_configured_says_how_to_start(shell):
    ran = shell("ask", QUESTION)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: {HOW_TO_START}\n"
    assert "--preset local" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], 'ask something: semcascade ask "What is ...?", or "-" to read standard input'),
        (["  "], "the question is empty; ask something"),
        (["-"], "the question is empty; ask something"),
        (["hi", "--json", "--stream"], "--json and --stream exclude each other; give one"),
        (["hi", "-c", "x.toml", "--preset", "local"], "--config and --preset exclude each other; give one"),
        (["hi", "-c", "nowhere.toml"], "config: cannot read nowhere.toml: No such file or directory"),
        (["hi", "--target", "openai/t"], "ensemble: no members"),
        (["hi", "--ensemble", "openai/a,openai/b"], "target: no member"),
        (["hi", "--ensemble", "openai/a,openai/a", "--target", "openai/t"], "stands here twice"),
        (["hi", "--ensemble", "openai/a", "--target", "openai/t"], "one answer has nothing to agree with"),
        (["hi", "--ensemble", "openai/a,openai/b", "--target", "openai/t", "--threshold", "7"], "threshold: "),
        (["hi", "--ensemble", "openai/a,openai/b", "--target", "openai/t", "--threshold", "x"], "'--threshold'"),
        (["hi", "--ensemble", "openai/a,openai/b", "--target", "openai/t", "--signal", "agrement"], "'agreement'"),
        (["hi", "--ensemble", "openai/a,openai/b", "--target", "openai/t", "--similarity", "rouge"], "'rouge_l'"),
        (["hi", "--ensemble", "openai/a,openai/b", "--target", "openai/t", "--selection", "best"], "selection: "),
        (
            ["hi", "--ensemble", "openai/a,openai/b", "--target", "openai/t", "--threshold", "1",
             "--escalation-rate", "1"],
            "escalation_rate exclude each other; give one",
        ),
        (["hi", "--nonsense"], "No such option"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2_and_says_what_to_do(shell, arguments, says):
    ran = shell("ask", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert says in ran.err
    assert len(ran.err.splitlines()) <= 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("ensemble = [", "is not valid toml"),
        ("ensemble = ['openai/a', 'openai/b']\ntarget = 'openai/t'\ntreshold = 1", "did you mean 'threshold'?"),
        ("ensemble = [{model = 'openai/a', api_kay = 'x'}, 'openai/b']\ntarget = 'openai/t'", "'api_key'"),
        ("ensemble = ['openai/a', {model = 'openai/b', transport = 'pigeon'}]\ntarget = 'openai/t'", "'pigeon'"),
    ],
)
def test_a_wrong_file_ends_with_2_and_says_where(shell, tmp_path, content, says):
    file = tmp_path / "team.toml"
    file.write_text(content)
    ran = shell("ask", "-c", str(file), QUESTION)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_a_missing_key_is_told_by_its_variable_before_anything_is_spent(shell):
    ran = shell("ask", "--ensemble", "anthropic/a,openai/b", "--target", "openai/t", QUESTION)
    assert ran.code == 1
    assert ran.err.startswith("error: anthropic/a: no key: set the environment variable ANTHROPIC_API_KEY")


def test_an_unknown_provider_is_told(shell):
    ran = shell("ask", "--ensemble", "nonsense,openai/b", "--target", "openai/t", QUESTION)
    assert ran.code == 1
    assert "no provider is known for the model id 'nonsense'" in ran.err


def test_a_service_that_is_not_there_is_told_once_per_member(shell, tmp_path):
    members = [{"model": f"openai/{name}", "name": name, "api_base": closed_address()} for name in "abt"]
    file = tmp_path / "team.json"
    file.write_text(json.dumps({"ensemble": members[:2], "target": members[2], "max_retries": 0}))
    ran = shell("ask", "-c", str(file), QUESTION)
    assert (ran.code, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert lines[0] == "error: no member answered"
    assert [line.split(":")[0] for line in lines[1:]] == ["  a", "  b", "  t"]
    assert "could not be reached" in lines[1]


def test_one_failed_member_of_three_does_not_matter(shell, configured, server):
    server.fail("b", Status(503))
    assert shell("ask", "-c", configured(), QUESTION).out == "Tokyo\n"
