"""The command line as a whole: help, version, exit codes, start-up."""

import subprocess
import sys

import click
import pytest

import semcascade
from semcascade.cli.app import app, run
from semcascade.cli.failures import exit_code
from semcascade.errors import CascadeError, ConfigError, InputError, LocalModelError, MissingDependencyError


def test_version(shell):
    assert shell("--version").out == f"semcascade {semcascade.__version__}\n"


@pytest.mark.parametrize(
    "command", [(), ("ask",), ("doctor",), ("models",), ("models", "list"), ("models", "pull"), ("models", "rm")]
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_each_command_explains_itself(shell, command, flag):
    ran = shell(*command, flag)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: semcascade {' '.join(command)}".rstrip())


def test_the_help_tells_the_exit_codes(shell):
    said = shell("--help").out
    for code in ("0", "1", "2", "130", "141"):
        assert f"\n    {code} " in said
    assert "SEMCASCADE_DEBUG" in said


def test_every_option_is_explained():
    for command in app.commands.values():
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{command.name} {parameter.name}"


def test_an_unknown_command_gets_a_hint(shell):
    ran = shell("aks")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: No such command 'aks'.")
    assert ran.err.endswith("see: semcascade --help\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (InputError("x"), 2),
        (MissingDependencyError("x", extra="local", purpose="y"), 2),
        (CascadeError("x"), 1),
        (LocalModelError("x"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (RuntimeError("x"), 1),
    ],
)
def test_exit_codes(error, code):
    assert exit_code(error) == code


def test_a_bug_is_called_one_and_shows_no_traceback_unless_asked(shell, monkeypatch):
    def broken(**options):
        raise RuntimeError("the \x1b[31mengine\nfell off")

    monkeypatch.setattr("semcascade.cli.ask.need_config", broken)
    ran = shell("ask", "hi")
    assert ran.code == 1
    assert ran.err.splitlines()[0] == "error: unexpected RuntimeError: the [31mengine fell off"
    assert "SEMCASCADE_DEBUG=1" in ran.err
    assert "Traceback" not in ran.err
    monkeypatch.setenv("SEMCASCADE_DEBUG", "1")
    assert "Traceback" in shell("ask", "hi").err


def test_an_interrupt_while_reading_the_question(shell, monkeypatch):
    class Interrupted:
        @property
        def buffer(self):
            raise KeyboardInterrupt

    def call():
        monkeypatch.setattr(sys, "stdin", Interrupted())
        return run(["ask", "-"])

    assert call() == 130


def test_the_shell_can_complete_commands(process):
    ran = process(COMP_WORDS="semcascade do", COMP_CWORD="1", _SEMCASCADE_COMPLETE="bash_complete")
    assert (ran.code, ran.out) == (0, b"plain,doctor\n")


def test_help_starts_without_what_it_does_not_need():
    code = (
        "import sys\nfrom semcascade.cli.app import run\nrun(['--help'])\n"
        "heavy = {'litellm', 'numpy', 'pydantic', 'rich', 'torch', 'langchain_core', 'llama_index', 'xllamacpp'}\n"
        "sys.exit(','.join(heavy & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
