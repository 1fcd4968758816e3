"""What is remembered on disk is right, harmless when damaged, and bounded."""

import os
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest

from semcascade import Candidate
from semcascade.memory import Memory, key_of, shared_memory
from semcascade.similarity import Query, compare, get_similarity
from semcascade.similarity.remembered import Remembered, is_lasting, remembering

ANSWERS = [Candidate("a", text="Paris it is"), Candidate("b", text="It is Paris"), Candidate("c", text="Lyon, surely")]


def read(path, key):
    memory = Memory(path)
    try:
        return memory.get(key)
    finally:
        memory.flush()


@pytest.fixture
def memory(tmp_path):
    found = Memory(tmp_path / "known.sqlite")
    yield found
    found.flush()


def test_what_was_put_is_there_for_others_too(memory, tmp_path):
    key = key_of("x", [1, {"b": 2, "a": None}])
    memory.put(key, {"value": [0.5, None, float("inf")]})
    assert memory.get(key) == {"value": [0.5, None, float("inf")]}
    memory.flush()
    assert read(tmp_path / "known.sqlite", key) == {"value": [0.5, None, float("inf")]}
    assert read(tmp_path / "known.sqlite", key_of("y")) is None


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_made_anew(tmp_path, damage):
    path = tmp_path / "known.sqlite"
    path.write_bytes(damage)
    memory = Memory(path)
    assert memory.get(b"key") is None
    memory.put(b"key", 1)
    memory.flush()
    assert read(path, b"key") == 1


def test_damage_under_way_does_no_harm(memory, tmp_path):
    for number in range(300):
        memory.put(key_of(number), "x" * 1000)
    memory.flush()
    size = (tmp_path / "known.sqlite").stat().st_size
    with (tmp_path / "known.sqlite").open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(size - 200))
    again = Memory(tmp_path / "known.sqlite")
    for number in range(300):
        assert again.get(key_of(number)) in (None, "x" * 1000)
    again.put(b"new", 2)
    again.flush()
    assert read(tmp_path / "known.sqlite", b"new") == 2


def test_a_folder_that_cannot_be_used_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("in the way")
    memory = Memory(tmp_path / "file" / "known.sqlite")
    memory.put(b"key", 1)
    memory.flush()
    assert memory.get(b"key") is None


def test_a_value_that_is_not_what_was_written_is_not_known(memory, tmp_path):
    memory.put(b"key", [0.25])
    memory.flush()
    with sqlite3.connect(tmp_path / "known.sqlite") as database:
        (written,) = database.execute("SELECT value FROM known").fetchone()
        database.execute("UPDATE known SET value = ?", (written.replace(b"0.25", b"0.75"),))
    database.close()
    assert memory.get(b"key") is None


def test_a_file_that_another_holds_is_left_alone(memory, tmp_path):
    memory.put(b"key", 1)
    memory.flush()
    with sqlite3.connect(tmp_path / "known.sqlite") as other:
        other.execute("BEGIN EXCLUSIVE")
        assert [memory.get(b"key") for _ in range(1000)] == [None] * 1000, "one wait, not a thousand"
        memory.put(b"key", 2)
        memory.flush()
    other.close()
    assert read(tmp_path / "known.sqlite", b"key") == 1


def test_a_full_disk_is_no_obstacle(memory, tmp_path):
    memory.put(b"small", 1)
    memory.flush()
    assert memory.get(b"small") == 1
    memory._database.execute("PRAGMA max_page_count = 4")
    memory.put(b"large", "x" * 100_000)
    memory.flush()
    assert memory.get(b"large") is None
    assert read(tmp_path / "known.sqlite", b"small") == 1


def test_it_can_be_switched_off(monkeypatch, tmp_path):
    monkeypatch.setattr("semcascade.memory._memory_at", Memory)
    monkeypatch.setenv("SEMCASCADE_CACHE", str(tmp_path))
    monkeypatch.setenv("SEMCASCADE_MEMORY", "off")
    memory = shared_memory()
    memory.put(b"key", 1)
    memory.flush()
    assert memory.get(b"key") is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_said_stands_nowhere_in_it(memory, tmp_path):
    compare(remembering(get_similarity("auto"), "auto", memory), Query("Which city?"), ANSWERS)
    memory.flush()
    written = (tmp_path / "known.sqlite").read_bytes()
    assert b"matrix" in written
    assert not [word for word in (b"Paris", b"Lyon", b"Which") if word in written]
    assert (tmp_path / "known.sqlite").stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_a_file_of_a_later_schema_is_made_anew(tmp_path):
    path = tmp_path / "known.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    memory = Memory(path)
    memory.put(b"key", 1)
    memory.flush()
    assert read(path, b"key") == 1


def test_many_threads_and_processes_may_write_at_once(tmp_path):
    path = tmp_path / "known.sqlite"
    code = f"from semcascade.memory import *; from pathlib import Path\nm = Memory(Path({str(path)!r}))\n"
    code += "[m.put(key_of('p', i), i) for i in range(500)]; m.flush()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    memory = Memory(path)

    def write(thread):
        for number in range(300):
            memory.put(key_of("t", thread, number), number)
            assert memory.get(key_of("t", thread, number)) in (number, None)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory.flush()
    assert [process.wait(60) for process in processes] == [0, 0]
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_the_oldest_are_forgotten_when_there_is_too_much(tmp_path):
    memory = Memory(tmp_path / "known.sqlite", most_bytes=100_000)
    for number in range(400):
        memory.put(key_of(number), "x" * 1000)
    memory.flush()
    fresh = Memory(tmp_path / "known.sqlite")
    kept = [number for number in range(400) if fresh.get(key_of(number)) is not None]
    fresh.flush()
    assert 399 in kept
    assert 0 not in kept


def test_a_remembered_comparison_is_the_comparison(memory):
    query = Query("Which city?")
    plain = get_similarity("auto")
    for similarity in (remembering(plain, "auto", memory), remembering(get_similarity("auto"), "auto", memory)):
        found, right = compare(similarity, query, ANSWERS), compare(plain, query, ANSWERS)
        np.testing.assert_array_equal(found.matrix, right.matrix)
        np.testing.assert_array_equal(found.tiebreak, right.tiebreak)
        assert (found.method, found.kinds, found.notes, found.same_at) == (
            right.method, right.kinds, right.notes, right.same_at,
        )  # fmt: skip


def test_nothing_is_compared_twice_and_other_questions_are_not_mixed_up(memory, monkeypatch):
    similarity, asked = get_similarity("chrf"), []
    original = type(similarity).compare
    monkeypatch.setattr(type(similarity), "compare", lambda self, q, a: asked.append(q.text) or original(self, q, a))
    remembered = remembering(similarity, "chrf", memory)
    for question in ("one", "two", "one", "one"):
        compare(remembered, Query(question), ANSWERS)
    compare(remembering(similarity, {"name": "chrf", "other": 1}, memory), Query("one"), ANSWERS)
    assert asked == ["one", "two", "one"]


def test_what_asks_a_service_or_is_a_users_own_is_not_remembered(memory):
    class Own(type(get_similarity("chrf"))):
        pass

    Own.__module__ = "users.module"
    assert not isinstance(remembering(Own(), "own", memory), Remembered)
    for spec in ({"name": "judge", "member": "openai/x"}, "embedding", "entailment"):
        assert not is_lasting(get_similarity(spec))
    inside = get_similarity("json")
    assert is_lasting(inside)
    inside._text = Own()
    assert not is_lasting(inside)


def test_the_memory_lies_in_the_cache_directory(tmp_path, monkeypatch):
    monkeypatch.setattr("semcascade.memory._memory_at", Memory)
    monkeypatch.setenv("SEMCASCADE_CACHE", str(tmp_path))
    memory = shared_memory()
    memory.put(b"key", 1)
    memory.flush()
    assert [path.name for path in tmp_path.glob("*.sqlite")] == ["worked-out.sqlite"]


def test_a_python_without_sqlite_remembers_nothing_and_misses_nothing(tmp_path):
    said = """
import sys
sys.modules["sqlite3"] = None
from pathlib import Path
from semcascade import Cascade, ScriptedTransport
from semcascade.memory import Memory
memory = Memory(Path(sys.argv[1]))
memory.put(b"key", 1)
memory.flush()
with Cascade(ensemble=["a", "b"], target="t", transport=ScriptedTransport({"a": "x", "b": "x", "t": "y"})) as cascade:
    print(memory.get(b"key"), cascade.complete("?").text)
"""
    path = tmp_path / "known.sqlite"
    done = subprocess.run([sys.executable, "-c", said, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["None", "x"], done.stderr
    assert not path.exists()
