import dataclasses
import json
import tracemalloc

import pytest

from semcascade.errors import InputError
from semcascade.evaluation import complete_rows, read_rows

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
        ({**ROW, "scores": [1, 0]}, "'scores'"),
        ({**ROW, "outputs": {"a": 4}}, "output of 'a' is a int"),
        ({**ROW, "calls": {"a": [{"name": "f"}]}}, "calls, tokens or latency_s of 'a'"),
        ({**ROW, "tokens": {"a": "many"}}, "calls, tokens or latency_s of 'a'"),
        ({**ROW, "tokens": {"a": [float("inf"), 1]}}, "calls, tokens or latency_s of 'a'"),
        ({**ROW, "tokens": {"a": [-1, 1]}}, "calls, tokens or latency_s of 'a'"),
        ({**ROW, "latency_s": {"a": 10**400}}, "calls, tokens or latency_s of 'a'"),
        ({**ROW, "instruction": ["Answer."]}, "'instruction'"),
        ({**ROW, "tools": "f"}, "'tools'"),
        ({**ROW, "reference": {"x": 4}}, "'reference'"),
        ({**ROW, "reference": [True]}, "'reference'"),
        ({**ROW, "scores": {"a": 10**400}}, "outside"),
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


def test_numbers_are_references_as_they_are_written(tmp_path):
    rows = read_rows(write(tmp_path, {**ROW, "reference": 4}, {**ROW, "id": "2", "reference": [0.5, "a half"]}))
    assert [row.references for row in rows] == [("4",), ("0.5", "a half")]


def test_a_system_of_nearly_that_name_is_told_of(tmp_path):
    rows = read_rows(write(tmp_path, {**ROW, "outputs": {"gpt-4o-2024-08-06": "4"}, "scores": {}}))
    with pytest.raises(InputError, match=r"no answer of 'gpt-4o' \(is it 'gpt-4o-2024-08-06'\?\)"):
        list(complete_rows(rows, ["gpt-4o"]))


def test_bad_files(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        list(read_rows(tmp_path / "absent.jsonl"))
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"id": "\xe9"}')
    with pytest.raises(InputError, match="UTF-8"):
        list(read_rows(path))


def test_unlabelled_rows_have_no_scores(tmp_path):
    (row,) = read_rows(write(tmp_path, {key: value for key, value in ROW.items() if key != "scores"}))
    assert row.scores == {}
    assert row.reference is None


@pytest.mark.parametrize(("reference", "found"), [("4", ("4",)), (["4", "four"], ("4", "four")), (None, ())])
def test_references_are_one_or_several(tmp_path, reference, found):
    (row,) = read_rows(write(tmp_path, {**ROW, "reference": reference}))
    assert row.references == found


def test_a_byte_order_mark_is_no_matter_and_utf_16_is_told(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROW).encode() + b"\r\n")
    assert [row.id for row in read_rows(path)] == ["1"]
    path.write_text(json.dumps(ROW), encoding="utf-16")
    with pytest.raises(InputError, match="UTF-16") as caught:
        list(read_rows(path))
    assert caught.value.field == "rows.jsonl:1"


def test_a_wrong_byte_is_told_by_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(ROW).encode() + b'\n{"id": "\xe9"}\n')
    with pytest.raises(InputError, match=r"not UTF-8.*byte 8") as caught:
        list(read_rows(path))
    assert caught.value.field == "rows.jsonl:2"


def test_a_last_line_that_breaks_off_is_left_out_and_said(tmp_path):
    path = write(tmp_path, ROW)
    path.write_bytes(path.read_bytes() + json.dumps({**ROW, "id": "é"}, ensure_ascii=False).encode()[:9])
    said = []
    assert [row.id for row in read_rows(path, skipped=said.append)] == ["1"]
    assert said == ["rows.jsonl:2: the last line breaks off and is left out"]


def test_a_line_without_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("semcascade.run_form.LONGEST_LINE", 1000)
    with pytest.raises(InputError, match="one object a line"):
        list(read_rows(write(tmp_path, ROW, {**ROW, "id": "x" * 2000})))


def test_a_large_file_is_read_row_by_row(tmp_path):
    path = tmp_path / "large.jsonl"
    filler = "x" * 4000
    with path.open("w") as file:
        for i in range(5000):
            file.write(json.dumps({**ROW, "id": str(i), "input": filler}) + "\n")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_rows(path)) == 5000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 10


def test_incomplete_rows_are_left_out_and_said(tmp_path):
    rows = list(
        read_rows(write(tmp_path, {**ROW, "outputs": {"a": "4"}}, {**ROW, "id": "2"}, {**ROW, "id": "3", "scores": {}}))
    )
    said = []
    assert [row.id for row in complete_rows(rows, ["a", "b"], skipped=said.append)] == ["2", "3"]
    assert said == ["1 of 3 rows are not complete and left out; the first is rows.jsonl:1: no answer of 'b'"]
    assert [row.id for row in complete_rows(rows, ["a", "b"], scored=True)] == ["2"]
    with pytest.raises(InputError, match=r"no row is complete \(rows.jsonl:1: no answer of 'c'\)"):
        list(complete_rows(rows, ["c"]))


def test_rows_in_parquet_are_the_rows_in_jsonl(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    tool = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
    given = [
        {"id": "1", "task": "qa", "input": "2+2?", "outputs": {"a": "4", "t": "four"}, "scores": {"a": 1.0, "t": 1.0}},
        {"id": "2", "input": "3+3?", "outputs": {"a": "6"}, "scores": {"a": 1}, "reference": "6"},
        {"id": "3", "input": "Look", "tools": [tool], "outputs": {"a": None, "t": "no"}, "scores": {"a": 1, "t": 0.5},
         "calls": {"a": [{"name": "look", "arguments": {"at": "here"}}]}},
    ]  # fmt: skip
    plain = [{**row, "outputs": {name: text or "" for name, text in row["outputs"].items()}} for row in given]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain), encoding="utf-8")
    columns = dict.fromkeys(name for row in plain for name in row)
    pq.write_table(pa.Table.from_pylist([{**columns, **row} for row in plain]), tmp_path / "rows.parquet")
    same, found = (list(read_rows(tmp_path / name)) for name in ("rows.jsonl", "rows.parquet"))
    assert [row.where for row in found] == [f"rows.parquet, row {number}" for number in (1, 2, 3)]
    assert [dataclasses.replace(row, where="") for row in found] == [dataclasses.replace(row, where="") for row in same]
    pq.write_table(pa.Table.from_pylist([{**plain[0], "scores": {"a": float("nan")}}]), tmp_path / "nan.parquet")
    with pytest.raises(InputError, match="not a number") as caught:
        list(read_rows(tmp_path / "nan.parquet"))
    assert caught.value.field == "nan.parquet, row 1"
