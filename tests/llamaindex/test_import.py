"""What importing costs, and what it says where LlamaIndex is missing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = "('litellm', 'torch', 'sentence_transformers', 'langchain_core', 'xllamacpp', 'openai')"

_WITHOUT_LLAMAINDEX = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'llama_index':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Missing())
try:
    import llamaindex_semcascade
except ImportError as error:
    print(type(error).__module__, type(error).__name__, error.extra, error)
"""

_ASKED_FOR_NOTHING = f"""
import sys
from llamaindex_semcascade import SemCascade
llm = SemCascade(ensemble=['openai/gpt-4o-mini', 'openai/gpt-4.1-nano'], target='openai/gpt-4o')
llm.to_payload(), repr(llm), llm.to_dict()
print([name for name in {HEAVY} if name in sys.modules])
"""


def run(code):
    command = [sys.executable, "-c", code]
    path = {"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=path, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_and_building_pull_nothing_heavy():
    assert run(_ASKED_FOR_NOTHING) == "[]"


def test_without_llamaindex_the_extra_is_named():
    said = run(_WITHOUT_LLAMAINDEX)
    assert said.startswith("semcascade.errors MissingDependencyError llamaindex llamaindex_semcascade needs")
    assert "pip install 'semcascade[llamaindex]'" in said


def test_public_names():
    import llamaindex_semcascade

    assert llamaindex_semcascade.__all__ == ["DecisionEvent", "SemCascade"]
    assert all(hasattr(llamaindex_semcascade, name) for name in llamaindex_semcascade.__all__)
