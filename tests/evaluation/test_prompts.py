import builtins
import json

import pytest

from semcascade.errors import InputError, MissingDependencyError
from semcascade.evaluation import read_prompts
from semcascade.evaluation.prompts import Prompts, prompt_of, prompt_to

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
FORMAT = {"type": "json_object"}


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_plain_prompts_and_conversations_with_tools(tmp_path):
    lines = [
        {"input": "1+1?"},
        {"id": 7, "prompt": "2+2?", "instruction": "Add.", "reference": ["4", "four"], "task": "sums", "source": "x"},
        {"id": "c", "messages": ASKED, "tools": [TOOL], "response_format": FORMAT},
    ]
    path = write(tmp_path, "prompts.jsonl", "\n".join(map(json.dumps, lines)))
    plain, rich, chat = read_prompts(path)
    assert plain.messages == ({"role": "user", "content": "1+1?"},)
    assert (rich.id, rich.messages[0]["content"], rich.references, rich.task) == (
        "7",
        "Add.\n\n2+2?",
        ("4", "four"),
        "sums",
    )
    assert (list(chat.messages), chat.tools, chat.response_format) == (ASKED, (TOOL,), FORMAT)
    assert chat.where == "prompts.jsonl:3"


def test_prompts_without_an_id_are_known_by_their_content(tmp_path):
    path = write(tmp_path, "p.jsonl", '{"input": "a"}\n{"input": "b"}\n{"input": "a"}\n')
    first, other, again = [row.id for row in read_prompts(path)]
    assert again == f"{first}#2"
    turned = write(tmp_path, "q.jsonl", '{"input": "b"}\n{"input": "a"}\n')
    assert [row.id for row in read_prompts(turned)] == [other, first]


def test_csv_with_quotes_newlines_and_a_byte_order_mark(tmp_path):
    messages = json.dumps(ASKED).replace('"', '""')
    text = (
        "\ufeffid,question,messages,reference\r\n"
        '1,"He said ""4"",\r\nor 5?",,4\r\n'
        "\r\n"
        f'2,,"{messages}",\r\n'
    )  # fmt: skip
    first, second = read_prompts(write(tmp_path, "p.csv", text))
    assert first.messages[0]["content"] == 'He said "4",\r\nor 5?'
    assert (first.reference, second.reference) == ("4", None)
    assert list(second.messages) == ASKED
    assert (first.where, second.where) == ("p.csv:2", "p.csv:5")


def test_tabs_separate_too(tmp_path):
    (row,) = read_prompts(write(tmp_path, "p.tsv", "input\ttask\n2+2, or 3?\tsums\n"))
    assert (row.messages[0]["content"], row.task) == ("2+2, or 3?", "sums")


@pytest.mark.parametrize(
    ("name", "data", "where", "words"),
    [
        ("p.jsonl", '{"input": "a"}\n{"text": "a"}\n', "p.jsonl:2", "neither 'messages' nor"),
        ("p.jsonl", '{"input": "a"}\n{"input": " "}\n', "p.jsonl:2", "empty"),
        ("p.jsonl", '{"input": 4}\n', "p.jsonl:1", "int, not a text"),
        ("p.jsonl", '{"id": 1.5, "input": "a"}\n', "p.jsonl:1", "'id'"),
        ("p.jsonl", '{"messages": [{"role": "user"}]}\n', "p.jsonl:1", r"messages\[0\].content"),
        ("p.jsonl", '{"id": "1", "input": "a"}\n{"id": "1", "input": "b"}\n', "p.jsonl:2", "earlier prompt"),
        ("p.jsonl", '{"input": "a"}\n{"inp', "p.jsonl:2", "not JSON"),
        ("p.csv", "text\na\n", "p.csv:1", "names none of the columns"),
        ("p.csv", "", "p.csv:1", "names none of the columns"),
        ("p.csv", "ID;Question\n1;a\n", "p.csv:1", "it names 'ID;Question'"),
        ("p.csv", "id,input,input\n1,a,b\n", "p.csv:1", "'input' twice"),
        ("p.csv", "id,input\n1,a,b\n", "p.csv:2", "3 cells"),
        ("p.jsonl", '[{"input": "a"}]\n', "p.jsonl:1", "one object a line"),
        ("p.csv", 'input\na\n"b\nc', "p.csv:3", "not CSV"),
        ("p.csv", 'input\n"a"b\n', "p.csv:2", "not CSV"),
        ("p.csv", "input,tools\na,[\n", "p.csv:2", "'tools' holds no JSON"),
        ("p.csv", f"input\n{'x' * 140_000}\n", "p.csv:2", "use JSONL"),
        ("p.csv", b"input\na\n\xe9\n", "p.csv:3", "not UTF-8"),
        ("p.csv", "input\na\n".encode("utf-16"), "p.csv:1", "UTF-16"),
    ],
)
def test_bad_prompts_are_refused_by_line(tmp_path, name, data, where, words):
    with pytest.raises(InputError, match=words) as caught:
        list(read_prompts(write(tmp_path, name, data)))
    assert caught.value.field == where


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.csv"])
def test_absent_files(tmp_path, name):
    with pytest.raises(InputError, match="cannot read"):
        list(read_prompts(tmp_path / name))


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    calls = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": None, "refusal": "no"}]
    table = pa.Table.from_pylist(
        [{"id": 1, "messages": calls, "reference": None}, {"id": 2, "messages": ASKED, "reference": "4"}]
    )
    pq.write_table(table, tmp_path / "p.parquet")
    first, second = read_prompts(tmp_path / "p.parquet")
    assert list(first.messages) == [{"role": "user", "content": "2+2?"}, {"role": "assistant", "refusal": "no"}]
    assert (second.id, list(second.messages), second.reference) == ("2", ASKED, "4")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "q.parquet")
    with pytest.raises(InputError, match="neither 'messages'") as caught:
        list(read_prompts(tmp_path / "q.parquet"))
    assert caught.value.field == "q.parquet, row 1"
    with pytest.raises(InputError, match="not Parquet"):
        list(read_prompts(write(tmp_path, "r.parquet", "input\n")))
    with pytest.raises(InputError, match="cannot read"):
        list(read_prompts(tmp_path / "absent.parquet"))


def test_parquet_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    honest = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return honest(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"semcascade\[parquet\]"):
        list(read_prompts(tmp_path / "p.parquet"))


def test_lists_of_texts_conversations_and_mappings():
    prompts = Prompts(["2+2?", ASKED, {"id": "x", "input": "3+3?"}])
    assert [row.messages[-1]["content"] for row in prompts] == ["2+2?", "2+2?", "3+3?"]
    assert [row.id for row in prompts] == [row.id for row in prompts], "they can be gone through again"
    assert len(list(Prompts(["a", "b", "c"], limit=2))) == 2
    with pytest.raises(InputError, match=r"prompts\[1\].*not a text"):
        list(Prompts(["a", 4]))


def test_what_is_asked_comes_back_from_plain_data():
    data = {"id": "1", "messages": ASKED, "tools": [TOOL], "response_format": FORMAT, "reference": "4", "task": "sums"}
    assert prompt_to(prompt_of(data, "")) == data
