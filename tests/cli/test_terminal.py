"""What models say is untrusted, what terminals can show is limited, and readers may leave."""

import io
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from semcascade.cli import terminal
from semcascade.cli.tables import decision_table
from semcascade.decision import Decision, TierRecord
from semcascade.errors import MemberError
from semcascade.messages import Candidate, ToolCall
from tests.support.openai_server import Stall, Status

QUESTION = "What is the capital of Japan?"
HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]mark[/bold red]up\x00 \x9b31m \u202eevil\u202c \r\n\t京都 [/] :smile: ✓"
HARMLESS = "[2J]0;owned[bold red]mark[/bold red]up 31m evil \n\t京都 [/] :smile: ✓"


def rendered(decision, width=100):
    shown = io.StringIO()
    Console(width=width, force_terminal=True, color_system="truecolor", file=shown).print(decision_table(decision))
    return shown.getvalue()


def escapes(text):
    """Return the escape sequences of a text, but the ones that colour."""
    return re.findall(r"\x1b(?!\[[0-9;]*m)", text)


# --- hostile answers


def test_an_answer_goes_into_a_pipe_as_it_is(process, configured, server):
    server.script.update(dict.fromkeys("abc", HOSTILE))
    ran = process("ask", "-e", "-c", configured(), QUESTION)
    assert ran.code == 0
    assert ran.out == HOSTILE.encode() + b"\n"
    assert not any(char in ran.err.decode() for char in "\x1b\x00\x07\x9b\u202e\r")
    assert "[bold red]mark[/bold red]up" in ran.err.decode()


def test_a_real_terminal_gets_no_control_characters(configured, server, on_terminal):
    server.script.update(dict.fromkeys("abc", HOSTILE))
    code, shown = on_terminal("ask", "-e", "-c", configured(), QUESTION)
    assert code == 0
    # The terminal itself writes each newline as \r\n; the spinner on standard error moves the cursor.
    assert HARMLESS.replace("\n", "\r\n") in shown
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize("flags", [[], ["--stream"]])
def test_pieces_of_a_stream_are_made_harmless_too(configured, server, streams, flags):
    server.script["t"] = HOSTILE
    file = configured(("a", "x", "y"))
    assert streams("ask", *flags, "-c", file, QUESTION, terminal=True).out.decode() == HARMLESS + "\n"
    assert streams("ask", *flags, "-c", file, QUESTION).out.decode() == HOSTILE + "\n"


def test_json_survives_whatever_a_model_says(shell, configured, server):
    server.script.update(dict.fromkeys("abc", HOSTILE))
    ran = shell("ask", "--json", "-c", configured(), QUESTION)
    assert ran.out.isascii()
    assert "\x1b" not in ran.out
    assert ran.json["answer"] == HOSTILE


@given(st.text())
def test_harmless_text_holds_no_control_character_but_tab_and_newline(text):
    shown = terminal.harmless(text)
    assert all(char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160) for char in shown)
    assert terminal.harmless(shown) == shown


@given(st.text(alphabet=st.one_of(st.sampled_from("[]/\\=\x1b\x00\n@:"), st.characters())), st.integers(20, 120))
def test_a_table_shows_any_text_as_plain_text(text, width):
    candidates = (
        Candidate(text, text=text),
        Candidate("b", failure=MemberError(text, member="b")),
        Candidate("c", tool_calls=(ToolCall(text, text),)),
    )
    tier = TierRecord(
        text, candidates, accepted=True, reason=text, chosen=0, signal=text, similarity=text, notes=(text,)
    )
    assert not escapes(rendered(Decision((tier,), tier=text, member=text, accepted=True, reason=text), width))


def test_error_texts_of_providers_are_made_harmless(shell, configured, server):
    server.fail("*", Status(500, message=HOSTILE))
    ran = shell("ask", "-c", configured(), QUESTION)
    assert ran.code == 1
    assert "[bold red]mark[/bold red]up" in ran.err
    assert not any(char in ran.err for char in "\x1b\x00\x07\x9b\u202e\r")


def test_json_has_null_for_numbers_that_json_lacks(capsys):
    terminal.write_json({"a": [float("nan"), float("inf")], "b": (1.5,), "c": "half a pair: \ud800"})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None], "b": [1.5], "c": "half a pair: \ud800"}


# --- encodings, widths, colours


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_encoding_breaks_anything(streams, configured, server, encoding):
    server.script.update(dict.fromkeys("abc", "Tōkyō 東京"))
    ran = streams("ask", "-e", "-c", configured(), QUESTION, encoding=encoding)
    assert ran.code == 0
    answer = ran.out.decode(encoding)
    assert answer == ("Tōkyō 東京\n" if encoding == "utf-8" else "T\\u014dky\\u014d \\u6771\\u4eac\n")
    table = ran.err.decode(encoding)
    assert "accepted a" in table
    assert (">= 0.60" in table) is (encoding != "utf-8")
    assert streams("doctor", encoding=encoding).code == 0


def test_an_ascii_process_does_not_break(process, configured, server):
    server.script.update(dict.fromkeys("abc", "東京"))
    ran = process("ask", "-e", "-c", configured(), QUESTION, PYTHONIOENCODING="ascii")
    assert (ran.code, ran.out) == (0, b"\\u6771\\u4eac\n")
    assert ran.err.isascii()


def test_a_table_is_a_hundred_columns_wide_unless_told_otherwise(shell, configured, server, monkeypatch):
    server.script["a"] = "Tokyo is the capital " * 20
    file = configured(("a", "x", "y"))
    assert max(map(len, shell("ask", "-e", "-c", file, QUESTION).err.splitlines())) == 100
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, shell("ask", "-e", "-c", file, QUESTION).err.splitlines())) == 60


def test_no_color_is_respected(configured, streams, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    asking = ["ask", "-e", "-c", configured(), QUESTION]
    assert b"\x1b[32m" in streams(*asking, terminal=True).err
    assert b"\x1b[31m" in streams("ask", terminal=True).err
    assert b"\x1b" not in streams(*asking).err
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b[32m" not in streams(*asking, terminal=True).err
    assert b"\x1b" not in streams("ask", terminal=True).err


# --- ends


def test_an_interrupt_ends_with_130_and_cancels_the_requests(configured, server):
    stall = Stall()
    server.fail("*", stall)
    running = subprocess.Popen(
        [sys.executable, "-m", "semcascade", "ask", "-c", configured(), QUESTION],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert stall.reached.wait(30)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    finally:
        running.kill()
        running.wait()
    assert (running.returncode, out) == (130, b"")
    assert err.decode().split() == ["interrupted"]
    server.wait_until(lambda: all(request.disconnected for request in server.asked()))


@pytest.mark.parametrize("arguments", [["--help"], ["doctor"], ["ask", "--json", "-c", "FILE", QUESTION]])
def test_a_reader_that_leaves_ends_it_quietly(configured, arguments):
    arguments = [configured() if argument == "FILE" else argument for argument in arguments]
    running = subprocess.Popen(
        [sys.executable, "-m", "semcascade", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert (running.wait(60), err) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_no_bug():
    ran = in_sh("--version >/dev/full")
    assert (ran.returncode, ran.stderr) == (1, b"error: No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="closes streams as a POSIX shell does")
def test_streams_that_are_closed_from_the_start():
    assert in_sh("--version >&-").returncode == 0
    assert in_sh("nonsense 2>&-").returncode == 2


def in_sh(line):
    return subprocess.run(
        ["sh", "-c", f"{shlex.quote(sys.executable)} -m semcascade {line}"],
        capture_output=True,
        timeout=60,
        check=False,
    )
