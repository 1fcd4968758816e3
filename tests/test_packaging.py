"""What an install brings, plain and editable: three packages, and nothing of the repository's other folders."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROBE = """
import importlib.util
for name in ("semcascade", "langchain_semcascade", "llamaindex_semcascade", "shared", "tests", "examples"):
    print(name, importlib.util.find_spec(name) is not None)
"""


def run(*command, cwd=None):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.network
def test_the_wheel_holds_three_typed_packages_and_nothing_else(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("semcascade-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"semcascade", "langchain_semcascade", "llamaindex_semcascade"}
    assert all(f"{top}/py.typed" in names for top in tops)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    sources = {path.relative_to(ROOT / "shared").as_posix() for path in (ROOT / "shared/semcascade").rglob("*.py")}
    assert sources <= set(names)
    data = [path for path in (ROOT / "shared/semcascade").rglob("*") if path.suffix in {".jinja", ".toml"}]
    assert {path.relative_to(ROOT / "shared").as_posix() for path in data} <= set(names)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("how", [["."], ["-e", "."]], ids=["plain", "editable"])
def test_an_install_leaves_only_the_packages_importable(tmp_path, how):
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv)
    python = venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run(python, "-m", "pip", "install", "-q", "--no-deps", *how, cwd=ROOT)
    found = dict(line.split() for line in run(python, "-c", PROBE, cwd=tmp_path).splitlines())
    assert found == {
        "semcascade": "True",
        "langchain_semcascade": "True",
        "llamaindex_semcascade": "True",
        "shared": "False",
        "tests": "False",
        "examples": "False",
    }
