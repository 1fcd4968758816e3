"""Dependencies point inward: no room of the core imports one that it must not know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import semcascade

CORE = Path(semcascade.__file__).parent
FORBIDDEN = {
    "similarity": {"transport", "signals", "deferral", "engine", "evaluation", "cli", "litellm"},
    "signals": {"transport", "similarity", "deferral", "engine", "evaluation", "cli", "litellm"},
    "deferral": {"transport", "similarity", "engine", "evaluation", "cli", "litellm"},
    "transport": {"similarity", "signals", "deferral", "engine", "evaluation", "cli", "litellm"},
    "engine": {"evaluation", "cli", "litellm"},
}


def rooms_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name.startswith("semcascade."))


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_room_imports_what_it_must_not_know(room: str):
    files = list((CORE / room).rglob("*.py"))
    assert files
    wrong = {
        f"{path.relative_to(CORE)} imports {other}"
        for path in files
        for other in FORBIDDEN[room].intersection(rooms_imported(path))
    }
    assert wrong == set()


SHARED = sorted(path for path in CORE.glob("*.py") if path.name not in {"__init__.py", "__main__.py"})


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.name)
def test_what_all_rooms_share_knows_none_of_them(path: Path):
    assert set(rooms_imported(path)).isdisjoint(FORBIDDEN)
