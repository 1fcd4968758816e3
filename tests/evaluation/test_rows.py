import json

import pytest

from semcascade.errors import InputError
from semcascade.evaluation import read_rows

ROW = {"id": "1", "task": "qa", "input": "2+2?", "outputs": {"a": "4", "b": ""}, "scores": {"a": 1, "b": 0.0}}


def write(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", encoding="utf-8"
    )
    return path


def test_rows_become_conversations_and_candidates(tmp_path):
    tool = {"name": "f", "parameters": {"type": "object"}}
    full = {
        **ROW,
        "id": "2",
        "instruction": "Answer.",
        "tools": [tool],
        "calls": {"a": [{"name": "f", "arguments": {"x": 1}}], "b": []},
        "tokens": {"a": [10, 5]},
        "latency_s": {"a": 0.5},
    }
    plain, rich = read_rows(write(tmp_path, ROW, "", full))
    assert plain.messages == ({"role": "user", "content": "2+2?"},)
    assert plain.answers["a"].text == "4"
    assert plain.scores == {"a": 1.0, "b": 0.0}
    assert rich.messages[0]["content"] == "Answer.\n\n2+2?"
    assert rich.tools == ({"type": "function", "function": tool},)
    assert rich.answers["a"].tool_calls[0].parsed() == {"x": 1}
    assert (rich.answers["a"].usage.input_tokens, rich.answers["a"].latency_s) == (10, 0.5)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "object"),
        ({**ROW, "id": None}, "'id'"),
        ({key: value for key, value in ROW.items() if key != "scores"}, "'scores'"),
        ({**ROW, "scores": {"a": 1.5}}, "outside"),
        ({**ROW, "scores": {"a": None}}, "not a number"),
        ({**ROW, "scores": {"a": float("nan")}}, "not a number"),
        ({**ROW, "scores": {"a": True}}, "not a number"),
        (ROW, "earlier row"),
    ],
)
def test_bad_rows_are_refused_by_line(tmp_path, bad, words):
    with pytest.raises(InputError, match=words) as caught:
        list(read_rows(write(tmp_path, ROW, bad)))
    assert caught.value.field == "rows.jsonl:2"


def test_bad_files(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        list(read_rows(tmp_path / "absent.jsonl"))
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"id": "\xe9"}')
    with pytest.raises(InputError, match="UTF-8"):
        list(read_rows(path))
