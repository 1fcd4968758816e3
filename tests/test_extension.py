"""A package of a user's own: announced by entry points, found by name from a configuration file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = '''
"""Two functions and a class."""
import numpy as np
from semcascade.similarity import TextSimilarity
from semcascade.signals import Signal


def same_length(question, texts):
    """Alike are answers of the same length."""
    return [[float(len(a) == len(b)) for b in texts] for a in texts]


class SameStart(TextSimilarity):
    """Alike are answers that begin alike."""

    name = "same_start"

    def __init__(self, letters: int = 1) -> None:
        self.letters = letters

    def matrix(self, texts):
        starts = [text[: self.letters] for text in texts]
        return np.array([[float(a == b) for b in starts] for a in starts])


def least(matrix):
    """The least similarity of two answers."""
    return float(matrix.min())


doubted = Signal(
    "doubted", lambda evidence: float(evidence.n), lambda value, evidence: 1 / value, False, 1, "How many doubts there are."
)
'''

ENTRY_POINTS = """
[semcascade.similarities]
same_length = tiny_extension:same_length
same_start = tiny_extension:SameStart
broken = tiny_extension:no_such_thing

[semcascade.signals]
least = tiny_extension:least
doubted = tiny_extension:doubted
"""

CONFIG = """
ensemble = ["a", "b", "c"]
target = "t"
similarity = { name = "same_start", letters = 2 }
signal = "least"
threshold = 0.9
"""

USE = """
import json, sys
from semcascade import Cascade, ConfigError, ScriptedTransport
from semcascade.signals import get_signal
from semcascade.similarity import similarities
found = {"lazy": True}
script = {"a": "Tokyo", "b": "Toki", "c": "To be", "t": "target"}
"same_start" in similarities()
found["lazy"] = "tiny_extension" not in sys.modules
with Cascade.from_file(sys.argv[1], transport=ScriptedTransport(script)) as cascade:
    tier = cascade.complete("Where?").decision.tiers[0]
    found |= {"similarity": tier.similarity, "signal": tier.signal, "score": tier.score, "accepted": tier.accepted}
with Cascade.from_file(sys.argv[1], similarity="same_length", signal="doubted", transport=ScriptedTransport(script)) as cascade:
    tier = cascade.complete("Where?").decision.tiers[0]
    found |= {"function": tier.similarity, "agreement": tier.agreement, "doubted": tier.score}
for wrong in ({"similarity": "same_strat"}, {"similarity": "broken"}, {"similarity": {"name": "same_start", "letter": 1}}):
    try:
        Cascade.from_file(sys.argv[1], transport=ScriptedTransport(script), **wrong)
    except ConfigError as error:
        found[str(wrong["similarity"])] = str(error)
print(json.dumps(found))
"""


def use(site: Path, config: Path) -> dict[str, object]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-c", USE, str(config)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def check(found: dict[str, object]) -> None:
    assert found["lazy"], "nothing is imported before it is asked for"
    assert (found["similarity"], found["signal"], found["score"], found["accepted"]) == (
        "same_start",
        "least",
        1.0,
        True,
    )
    assert (found["function"], found["doubted"]) == ("same_length", pytest.approx(1 / 3))
    assert found["agreement"] == [0.5, 0.0, 0.5]
    assert "did you mean 'same_start'" in str(found["same_strat"])
    assert "tiny_extension:no_such_thing' cannot be loaded" in str(found["broken"])
    assert "did you mean 'letters'" in str(found["{'name': 'same_start', 'letter': 1}"])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cascade.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_an_installed_package_is_found_by_its_entry_points(tmp_path: Path, config: Path):
    """As pip leaves it: a module, and metadata beside it."""
    site = tmp_path / "site"
    metadata = site / "tiny_extension-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "tiny_extension.py").write_text(MODULE, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-extension\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    check(use(site, config))


@pytest.mark.slow
def test_a_package_that_pip_installed_is_found(tmp_path: Path, config: Path):
    pytest.importorskip("setuptools")
    project = tmp_path / "project"
    project.mkdir()
    (project / "tiny_extension.py").write_text(MODULE, encoding="utf-8")
    groups = ENTRY_POINTS.replace("[semcascade.", '[project.entry-points."semcascade.').replace("]", '"]')
    points = "\n".join(
        f'{line.partition(" = ")[0]} = "{line.partition(" = ")[2]}"' if " = " in line else line
        for line in groups.splitlines()
    )
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "tiny-extension"\nversion = "1.0"\n'
        f'[tool.setuptools]\npy-modules = ["tiny_extension"]\n{points}\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--target", tmp_path / "site", project], check=True, capture_output=True)
    check(use(tmp_path / "site", config))
