"""What stands in the shop window: public names, cheap imports, typed packages."""

import importlib
import subprocess
import sys

import pytest

import semcascade

HEAVY = (
    "litellm",
    "torch",
    "sentence_transformers",
    "langchain_core",
    "llama_index",
    "xllamacpp",
    "numpy",
    "pydantic",
    "rich",
)


@pytest.mark.parametrize("name", semcascade.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(semcascade, name).__doc__


def test_all_is_sorted_and_complete():
    assert semcascade.__all__ == sorted(semcascade.__all__)
    assert set(semcascade.__all__) == set(semcascade._HOME_OF)
    assert set(dir(semcascade)) >= set(semcascade.__all__)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = semcascade.Nonsense


def fresh(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_core_imports_nothing_heavy():
    assert fresh(f"import sys, semcascade; print(*[name for name in {HEAVY} if name in sys.modules])") == []


def test_using_the_core_imports_no_provider_library():
    code = (
        "import sys; from semcascade import Cascade, ScriptedTransport\n"
        "c = Cascade(ensemble=['a', 'b'], target='t', transport=ScriptedTransport({'*': 'x'}))\n"
        "c.complete('?'); c.close()\n"
        f"print(*[name for name in {HEAVY[:6]} if name in sys.modules])"
    )
    assert fresh(code) == []


@pytest.mark.parametrize("package", ["semcascade", "langchain_semcascade", "llamaindex_semcascade"])
def test_packages_are_typed(package):
    from importlib.resources import files

    assert files(importlib.import_module(package)).joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    ("package", "hidden", "extra"),
    [("langchain_semcascade", "langchain_core", "langchain"), ("llamaindex_semcascade", "llama_index", "llamaindex")],
)
def test_a_wrapper_without_its_framework_says_which_extra_to_install(package, hidden, extra):
    code = (
        f"import sys; sys.modules['{hidden}'] = None\n"
        f"try:\n    import {package}; {package}.__all__; getattr({package}, {package}.__all__[0])\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    said = " ".join(fresh(code))
    assert said.startswith("MissingDependencyError")
    assert f"pip install 'semcascade[{extra}]'" in said
