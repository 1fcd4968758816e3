"""Likeness of code by its structure. Code is only ever read, never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, FloatArray, Query, TextSimilarity, answer_text
from semcascade.similarity.extract import code_of, parse_python
from semcascade.similarity.lexical import common_subsequences, note_of_cuts

__all__ = ["Code", "code_tokens"]


class Code(TextSimilarity):
    """F1 of the longest common subsequence of code tokens; 1 up to names, comments and formatting.

    Python is read as a syntax tree without docstrings and annotations, with the names it binds numbered in the
    order they appear; other languages as tokens without comments, names that are not called numbered likewise.
    The words around fenced blocks do not count. Of more than 20,000 tokens the first count; a note says so.
    """

    name = "code"
    pairwise = True
    same_at = 0.9

    def matrix(self, texts: Sequence[str]) -> FloatArray:
        r"""Return the likeness of every pair of texts of code.

        >>> Code().matrix(["def f(a):\n    return a+1", "def f(x):  # next\n    return x + 1"]).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
        """
        return common_subsequences([code_tokens(text) for text in texts])

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers; a note tells of those that were cut."""
        lines = [code_tokens(answer_text(answer)) for answer in answers]
        return Comparison(common_subsequences(lines), self.name, notes=note_of_cuts(lines), same_at=self.same_at)


def code_tokens(text: str) -> list[str]:
    """Return the normalised tokens of the code in a text.

    >>> code_tokens("x = 1") == code_tokens("y  =  1  # one")
    True
    """
    code, language = code_of(text)
    tree = parse_python(code) if language in {"", "py", "python", "python3"} else None
    if tree is not None and tree.body:
        return list(_python_tokens(tree))
    if language == "sql" or _SQL.match(code):
        code = _QUOTED_OR_NOT.sub(_lower, code.strip().rstrip(";"))
    return _plain_tokens(code)


def _lower(part: re.Match[str]) -> str:
    return part.group() if part.group()[0] in "'\"" else part.group().lower()


def _python_tokens(tree: ast.Module) -> Iterator[str]:
    """Walk a syntax tree in the order of the source."""
    numbers = {name: f"name {index}" for index, name in enumerate(_bound(tree))}
    stack: list[object] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            node = ast.Assign(targets=[node.target], value=node.value)
        if isinstance(node, ast.Constant):
            # A text is neither the name nor the number that it spells.
            yield f"Constant {node.value!r}"
        elif isinstance(node, ast.AST):
            yield type(node).__name__
            # A docstring says nothing about what the code does; neither does an annotation.
            parts = [part for field, part in ast.iter_fields(node) if field not in _SILENT_FIELDS]
            parts = [_without_docstring(part) if isinstance(part, list) else part for part in parts]
            stack.extend(reversed(parts))
            stack.append(_END_OF_NAME)
        elif isinstance(node, list):
            stack.extend(reversed(node))
        elif node is not None and node is not _END_OF_NAME:
            yield numbers.get(node, node) if isinstance(node, str) else repr(node)


_END_OF_NAME = object()
_SILENT_FIELDS = frozenset({"annotation", "returns", "type_comment", "ctx", "kind", "type_ignores", "type_params"})


def _without_docstring(body: list[object]) -> list[object]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def _bound(tree: ast.Module) -> dict[str, None]:
    """Return the names that the code itself binds, in the order they first appear."""
    places: list[tuple[int, int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            places.append((node.lineno, node.col_offset, node.arg))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            places.append((node.lineno, node.col_offset, node.id))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            places.append((node.lineno, node.col_offset, node.name))
        elif isinstance(node, ast.alias) and node.asname:
            places.append((node.lineno, node.col_offset, node.asname))
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            places.append((node.lineno, node.col_offset, node.name))
    return {name: None for _, _, name in sorted(places)}


_COMMENT = re.compile(r"/\*|//[^\n]*|(?<![\w'\"$])#(?!include|define|if|else|endif|pragma)[^\n]*|--\s[^\n]*")
_SQL = re.compile(
    r"\s*(?:select\b.+\bfrom|insert\s+into|update\b.+\bset|delete\s+from|create\s+(?:table|view)|with\b.+\bas\s*\()\b",
    re.IGNORECASE | re.DOTALL,
)
_QUOTED_OR_NOT = re.compile(r"[^'\"]+|'[^']*'|\"[^\"]*\"")
_PLAIN_TOKEN = re.compile(r"\"(?:[^\"\\\n]|\\.){0,500}\"|'(?:[^'\\\n]|\\.){0,500}'|\d[\w.]*|[^\W\d]\w*|[^\w\s]")
_KEYWORDS = frozenset(
    {
        "and", "as", "async", "await", "begin", "boolean", "bool", "break", "by", "case", "catch", "char", "class",
        "const", "continue", "create", "def", "default", "delete", "do", "double", "elif", "else", "end", "enum",
        "except", "export", "extends", "false", "final", "finally", "float", "fn", "for", "from", "func", "function",
        "go", "group", "having", "if", "impl", "implements", "import", "in", "insert", "int", "interface", "into",
        "is", "join", "let", "limit", "long", "match", "mut", "namespace", "new", "nil", "none", "not", "null", "on",
        "or", "order", "package", "private", "protected", "pub", "public", "raise", "return", "select", "self",
        "set", "short", "static", "string", "struct", "switch", "table", "then", "this", "throw", "true", "try",
        "type", "union", "unsigned", "update", "use", "using", "values", "var", "virtual", "void", "where", "while",
        "with", "yield",
    }
)  # fmt: skip


def _plain_tokens(code: str) -> list[str]:
    """Tokens of a language that is not known: strings in one kind of quotes, comments dropped, names numbered."""
    # Token by token: while a regular expression runs, no other thread does.
    tokens = [found.group() for found in _PLAIN_TOKEN.finditer(" ".join(_without_comments(code)))]
    names: dict[str, str] = {}
    found = []
    for position, token in enumerate(tokens):
        if token[0] in "\"'":
            found.append(f'"{token[1:-1]}"')
        elif _is_free_name(tokens, position):
            found.append(names.setdefault(token, f"name {len(names)}"))
        else:
            found.append(token)
    return found


def _without_comments(code: str) -> Iterator[str]:
    """Yield what stands between comments; one that is never closed is none."""
    done = at = 0
    last_end = code.rfind("*/")
    while found := _COMMENT.search(code, at):
        at = found.end()
        if found.group() == "/*":
            if last_end < at:
                continue
            at = code.index("*/", at) + 2
        yield code[done : found.start()]
        done = at
    yield code[done:]


def _is_free_name(tokens: Sequence[str], position: int) -> bool:
    """Whether a token is a name that its author was free to choose: no keyword, not called, not a member."""
    token = tokens[position]
    if not (token[0].isalpha() or token[0] == "_") or token.lower() in _KEYWORDS:
        return False
    return tokens[position + 1 : position + 2] != ["("] and tokens[max(0, position - 1) : position] != ["."]
