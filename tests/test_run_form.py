"""The run form: what is written is read back, and what is not of the form is refused by file and line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade import Candidate, CascadeConfig, ToolCall, Usage
from semcascade.errors import InputError, MemberError, RateLimitError
from semcascade.evaluation import read_rows
from semcascade.run_form import Header, answer_from, answer_to, json_line, read_header

TEXT = st.text(max_size=20)
CANDIDATES = st.builds(
    Candidate,
    st.just("a"),
    text=TEXT,
    tool_calls=st.lists(st.builds(ToolCall, TEXT, TEXT, TEXT), max_size=2).map(tuple),
    finish_reason=st.none() | TEXT,
    usage=st.none() | st.builds(Usage, *[st.integers(0, 10**6)] * 4),
    cost=st.none() | st.floats(0, 10),
    latency_s=st.floats(0, 100),
    logprobs=st.none() | st.lists(st.floats(-20, 0), max_size=3).map(tuple),
    model=st.none() | TEXT,
    attempts=st.integers(0, 5),
    shares_prompt=st.booleans(),
    estimated_cost=st.floats(0, 10),
)


@given(CANDIDATES)
def test_answers_come_back_as_they_were(candidate):
    line = json_line(answer_to(candidate))
    assert line.count(b"\n") == 1
    assert answer_from("a", json.loads(line), "") == candidate


def test_failures_come_back_with_class_and_text():
    failed = Candidate(
        "a", cost=None, attempts=3, failure=RateLimitError("slow down", member="a", status=429, retry_after=2.5)
    )
    back = answer_from("a", json.loads(json_line(answer_to(failed))), "")
    assert (type(back.failure), str(back.failure)) == (RateLimitError, "a: slow down")
    assert (back.failure.status, back.failure.retry_after, back.attempts, back.cost) == (429, 2.5, 3, None)
    unknown = answer_from("a", {"failure": {"error": "SystemExit", "message": "boo"}}, "")
    assert type(unknown.failure) is MemberError


def test_what_json_cannot_say_is_written_all_the_same():
    odd = Candidate("a", "half \ud83d", logprobs=(float("-inf"), -0.5))
    back = answer_from("a", json.loads(json_line(answer_to(odd))), "")
    assert (back.text, back.logprobs) == ("half \ud83d", (-9999.0, -0.5))


def test_the_header_holds_who_answered_and_no_secret(tmp_path):
    config = CascadeConfig.build(
        ensemble=[{"model": "openai/a", "api_key": "sk-very-secret-1234567890", "temperature": 0.2}, "b"], target="t"
    )
    header = Header.of(config)
    path = tmp_path / "run.jsonl"
    path.write_bytes(json_line(header.to_dict()))
    assert b"secret" not in path.read_bytes()
    assert read_header(path) == header
    assert (header.ensemble, header.target, header.kind) == (("openai/a", "b"), "t", "run")
    assert header.members["openai/a"] == {"model": "openai/a", "params": {"temperature": 0.2}}
    path.write_text('{"id": "1"}\n')
    assert read_header(path) is None


HEADER = {"semcascade_run": 1, "members": {"a": {}}, "tiers": [["a"], ["t"]], "target": "t"}
ROW = {"id": "1", "messages": [{"role": "user", "content": "2+2?"}], "answers": {"a": {"text": "4"}}}


def write(tmp_path, *lines):
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(map(json_line, lines)))
    return path


def test_rows_of_a_run(tmp_path):
    rich = {
        **ROW,
        "id": "2",
        "task": "sums",
        "reference": "4",
        "response_format": {"type": "json_object"},
        "answers": {"a": [{"text": "4"}, {"text": "5"}], "b": {"failure": {"error": "ServerError", "message": "down"}}},
        "scores": {"a": [1, 0], "b": 0},
        "decision": {"accepted": True},
    }
    plain, row = read_rows(write(tmp_path, HEADER, ROW, rich))
    assert (plain.answers, plain.scores, plain.samples) == ({"a": Candidate("a", "4")}, {}, {})
    assert plain.all_answers("a") == (Candidate("a", "4"),)
    assert plain.all_answers("b") == plain.all_scores("a") == ()
    assert (row.task, row.reference, row.response_format) == ("sums", "4", {"type": "json_object"})
    assert [answer.text for answer in row.all_answers("a")] == ["4", "5"]
    assert (row.scores, row.all_scores("a"), row.all_scores("b")) == ({"a": 1.0, "b": 0.0}, (1.0, 0.0), (0.0,))
    assert str(row.answers["b"].failure) == "b: down"
    assert row.decision == {"accepted": True}
    assert row.where == "run.jsonl:3"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({**HEADER, "semcascade_run": 2}, "version 2"),
        ({**HEADER, "members": ["a"]}, "'members'"),
        ({**HEADER, "tiers": ["a"]}, "'tiers'"),
        ({**HEADER, "target": None}, "'target'"),
        ({**ROW, "id": 7}, "'id'"),
        ({**ROW, "messages": []}, "messages: the list of messages is empty"),
        ({**ROW, "messages": [{"role": "robot", "content": "?"}]}, "unknown role 'robot'"),
        ({**ROW, "answers": {"a": "4"}}, "answer of 'a' is a str"),
        ({**ROW, "answers": {"a": []}}, "list of answers of 'a' is empty"),
        ({**ROW, "answers": {"a": {"text": 4}}}, "'text' in the answer of 'a'"),
        ({**ROW, "answers": {"a": {"cost": True}}}, "'cost' in the answer of 'a'"),
        ({**ROW, "answers": {"a": {"usage": {"tokens": 3}}}}, "the answer of 'a' is not of the run form"),
        ({**ROW, "answers": {"a": {"cost": -1}}}, "'cost' in the answer of 'a'"),
        ({**ROW, "answers": {"a": {"latency_s": 10**400}}}, "'latency_s' in the answer of 'a'"),
        ({**ROW, "answers": {"a": {"usage": {"input_tokens": "3"}}}}, "input_tokens is not a whole number"),
        ({**ROW, "answers": {"a": {"usage": {"input_tokens": -3}}}}, "the answer of 'a' is not of the run form"),
        ({**ROW, "answers": {"a": {"tool_calls": ["f"]}}}, "the answer of 'a' is not of the run form"),
        ({**ROW, "answers": {"a": {"tool_calls": [{"name": "f", "arguments": {}}]}}}, "arguments a JSON text"),
        ({**ROW, "answers": {"a": {"logprobs": [10**400]}}}, "the answer of 'a' is not of the run form"),
        ({**ROW, "answers": {"a": {"logprobs": ["x"]}}}, "the answer of 'a' is not of the run form"),
        ({**ROW, "scores": {"a": [1, 0]}}, "1 answers of 'a' have 2 scores"),
        ({**ROW, "scores": {"a": []}}, "list of scores of 'a' is empty"),
        ({**ROW, "scores": {"a": -0.1}}, "outside 0 to 1"),
        ({**ROW, "response_format": "json"}, "'response_format' is not a mapping"),
        ({**ROW, "id": "0"}, "earlier row"),
    ],
)
def test_bad_lines_are_refused_by_line(tmp_path, bad, words):
    path = write(tmp_path, HEADER, {**ROW, "id": "0"})
    path.write_bytes(path.read_bytes() + json.dumps(bad).encode() + b"\n")
    with pytest.raises(InputError, match=words) as caught:
        list(read_rows(path))
    assert caught.value.field == "run.jsonl:3"


def test_an_interrupted_recording_is_told_of(tmp_path):
    (tmp_path / "run.jsonl.journal").write_text("")
    with pytest.raises(InputError, match=r"run.jsonl.journal holds a recording that was interrupted"):
        list(read_rows(tmp_path / "run.jsonl"))
