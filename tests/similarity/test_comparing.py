"""What holds for every similarity: equal texts, empty answers, checks of what comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.errors import ConfigError
from semcascade.messages import Candidate, Request, ToolCall
from semcascade.signals import complete_link
from semcascade.similarity import (
    Comparison,
    FloatArray,
    Kind,
    Query,
    Similarity,
    TextSimilarity,
    acompare,
    answer_text,
    compare,
    get_similarity,
    register_similarity,
    similarities,
)
from semcascade.similarity.catalog import _SIMILARITIES
from semcascade.similarity.comparing import INLINE_CHARACTERS

PLAIN = ["auto", "exact", "rouge_l", "token_f1", "chrf", "tool_calls", "json", "code"]
REFUSAL = "I'm sorry, but I can't help with that."
TEXTS = st.lists(
    st.sampled_from(
        ["", "42", "forty-two", "Paris", "The capital of France is Paris.", REFUSAL, '{"a": 1}', '{"a": 2, "b": "x"}',
         "def f(x):\n    return x", "6 * 7 = 42, so the answer is 42.", "👍", "東京", "Rivers run to the sea. " * 8]
    ) | st.text(max_size=20),
    min_size=1, max_size=5,
)  # fmt: skip


def said(*texts: str) -> list[Candidate]:
    return [Candidate(f"m{index}", text=text) for index, text in enumerate(texts)]


class Counting(Similarity):
    """Remembers what it was asked."""

    name = "counting"

    def __init__(self, value: float = 0.5, **more: object) -> None:
        self.value, self.more = value, more
        self.seen: list[list[str]] = []
        self.threads: list[int] = []

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        self.seen.append([answer.text for answer in answers])
        self.threads.append(threading.get_ident())
        n = len(answers)
        return Comparison(np.full((n, n), self.value) + (1 - self.value) * np.eye(n), self.name, **self.more)


def test_only_different_answers_that_say_something_are_compared():
    counting = Counting()
    found = compare(counting, "q", said("a b", "", "c d", "a b", REFUSAL))
    assert counting.seen == [["a b", "c d"]]
    expected = [
        [1.0, 0.0, 0.5, 1.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [0.5, 0.0, 1.0, 0.5, 0.0],
        [1.0, 0.0, 0.5, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ]
    assert found.matrix.tolist() == expected
    assert found.kinds == (Kind.SHORT, Kind.EMPTY, Kind.SHORT, Kind.SHORT, Kind.REFUSAL)
    assert found.notes == ("2 of 5 answers agree with none: empty, refusal",)


def test_nothing_is_asked_where_there_is_nothing_to_compare():
    counting = Counting()
    assert compare(counting, "q", said("same", "same")).matrix.tolist() == [[1, 1], [1, 1]]
    assert compare(counting, "q", said("one")).matrix.tolist() == [[1]]
    assert compare(counting, "q", said("", REFUSAL)).matrix.tolist() == [[1, 0], [0, 1]]
    assert counting.seen == []
    methods = [compare(counting, "q", said(*texts)).method for texts in (("x", "x"), ("x", ""), ("", ""))]
    assert methods == [
        "counting: equal texts", "counting: only one answer says anything", "counting: no answer says anything",
    ]  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_answers_that_say_nothing_never_agree_in_any_similarity(name: str):
    answers = [
        *said("", "", REFUSAL, REFUSAL, "Paris"),
        Candidate("cut", text="Paris", finish_reason="length"),
        Candidate("cut", text="Paris", finish_reason="length"),
    ]
    assert compare(get_similarity(name), "q", answers).matrix.tolist() == np.eye(7).tolist()


@pytest.mark.parametrize("name", PLAIN)
@given(texts=TEXTS, data=st.data())
def test_laws(name: str, texts: list[str], data: st.DataObject):
    similarity = get_similarity(name)
    found = compare(similarity, "What is six times seven?", said(*texts))
    n, matrix = len(texts), found.matrix
    assert matrix.shape == (n, n)
    assert np.array_equal(matrix, matrix.T)
    assert (np.diagonal(matrix) == 1).all()
    assert ((matrix >= 0) & (matrix <= 1)).all()
    assert len(found.kinds) == n
    order = data.draw(st.permutations(range(n)))
    moved = compare(similarity, "What is six times seven?", said(*(texts[i] for i in order)))
    assert np.allclose(moved.matrix, matrix[np.ix_(order, order)])
    # Answers that come later change nothing between those that are there: early exit relies on it.
    first = compare(similarity, "What is six times seven?", said(*texts[:-1])).matrix if n > 1 else matrix
    assert np.allclose(first, matrix[: len(first), : len(first)])


def test_own_clusters_and_tie_breaks_are_extended_to_all_answers():
    counting = Counting(clusters=(0, 1, 0), tiebreak=np.full((3, 3), 0.25) + 0.75 * np.eye(3))
    found = compare(counting, "q", said("", "a", "b", "c", "b"))
    assert found.clusters == (0, 1, 2, 1, 2)
    assert found.tiebreak is not None
    assert found.tiebreak[1].tolist() == [0, 1, 0.25, 0.25, 0.25]
    assert found.tiebreak[2, 4] == 1.0


def test_what_else_is_known_is_extended_to_all_answers():
    labels = np.zeros((2, 2, 3))
    labels[0, 0] = labels[1, 1] = [1, 0, 0]
    labels[0, 1], labels[1, 0] = [0.5, 0.25, 0.25], [0.125, 0.75, 0.125]
    shares = np.array([[0.0, 0.25], [0.5, 0.0]])
    counting = Counting(entailment=labels, contradiction=shares, unsupported=1 - shares - np.eye(2))
    found = compare(counting, "q", said("", "a", "b", "a"))
    # An answer that says nothing entails nothing, and is borne out by nothing but itself.
    assert found.entailment[0].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert found.entailment[1].tolist() == [[0, 0, 1], [1, 0, 0], [0.5, 0.25, 0.25], [1, 0, 0]]
    assert found.contradiction[:, 0].tolist() == [0, 1, 1, 1]
    assert found.contradiction[2].tolist() == [1, 0.5, 0, 0.5]
    assert found.unsupported[2].tolist() == [1, 0.5, 0, 0.5]


def test_equal_texts_entail_each_other_without_being_asked():
    counting = Counting()
    counting.gives = frozenset({"entailment", "contradiction"})
    found = compare(counting, "q", said("a", "a", ""))
    assert found.entailment[0].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert found.contradiction.tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    assert found.unsupported is None
    assert compare(Counting(), "q", said("a", "a")).entailment is None


@pytest.mark.parametrize(
    ("matrix", "complaint"),
    [
        (np.ones((3, 3)), r"2x2 matrix, got shape \(3, 3\)"),
        (np.ones(2), "2x2 matrix"),
        ([[1.0, np.nan], [np.nan, 1.0]], "not finite"),
        ([[1.0, 1.5], [1.5, 1.0]], "from 0 to 1, got 1 to 1.5"),
        ([[1.0, -0.2], [-0.2, 1.0]], "from 0 to 1"),
        ([[1.0, 0.2], [0.3, 1.0]], "symmetric"),
        ([[0.5, 0.2], [0.2, 0.5]], "diagonal"),
        ([["a", "b"], ["c", "d"]], "matrix of numbers"),
        ([[1.0], [1.0, 1.0]], "matrix of numbers"),
    ],
)
def test_what_is_no_similarity_matrix_is_refused(matrix: object, complaint: str):
    class Wrong(Counting):
        name = "wrong"

        def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
            return Comparison(matrix, self.name)

    for raising in (lambda: compare(Wrong(), "q", said("a", "b")),
                    lambda: asyncio.run(acompare(Wrong(), "q", said("a", "b")))):  # fmt: skip
        with pytest.raises(ConfigError, match=complaint) as caught:
            raising()
        assert caught.value.field == "similarity"
        assert "'wrong'" in str(caught.value)


def test_rounding_is_set_right():
    found = compare(Counting(1 + 1e-9), "q", said("a", "b"))
    assert found.matrix.tolist() == [[1, 1], [1, 1]]


async def test_async_equals_sync_and_keeps_heavy_work_off_the_loop():
    answers = said("a b", "", "c d")
    light, heavy = Counting(), Counting()
    heavy.heavy = True
    assert np.array_equal((await acompare(light, "q", answers)).matrix, compare(light, "q", answers).matrix)
    await acompare(heavy, "q", answers)
    await acompare(light, "q", said("a" * 30_000, "b" * 30_000))
    here = threading.get_ident()
    assert light.threads[:2] == [here, here]
    assert heavy.threads[0] != here
    assert light.threads[2] != here


def test_a_query_is_made_of_a_request():
    request = Request(
        messages=(
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "x"},
            {"role": "user", "content": "two"},
        ),
        tools=({"function": {"name": "f"}},),
    )
    assert Query.of(request) == Query("two", tools=({"function": {"name": "f"}},))


def test_the_text_of_an_answer_holds_its_calls():
    answer = Candidate("m", text="Let me see.", tool_calls=(ToolCall("f", '{"a": 1}'), ToolCall("g")))
    assert answer_text(answer) == 'Let me see.\nf({"a": 1})\ng({})'


@pytest.fixture
def first_letter() -> Iterator[str]:
    def same_letter(question: str, texts: list[str]) -> list[list[float]]:
        assert question == "q"
        return [[float(a[0] == b[0]) for b in texts] for a in texts]

    register_similarity("first_letter", same_letter)
    yield "first_letter"
    _SIMILARITIES.unregister("first_letter")


def test_a_plain_function_is_used_by_name(first_letter: str):
    similarity = get_similarity({"name": first_letter})
    assert similarity.heavy
    assert compare(similarity, "q", said("ab", "ac", "b")).matrix.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    with pytest.raises(ConfigError, match="it has none") as caught:
        get_similarity({"name": first_letter, "depth": 3})
    assert caught.value.field == "similarity.depth"


def test_a_class_is_used_by_name_with_its_settings():
    register_similarity("counting", Counting)
    try:
        assert get_similarity({"name": "counting", "value": 0.25}).value == 0.25  # type: ignore[attr-defined]
    finally:
        _SIMILARITIES.unregister("counting")


def test_a_similarity_stands_for_itself():
    counting = Counting()
    assert get_similarity(counting) is counting


@pytest.mark.parametrize(
    ("spec", "field", "complaint"),
    [
        ("chrff", "similarity", "did you mean 'chrf'"),
        ({"name": "embedding", "modell": "x"}, "similarity.modell", "did you mean 'model'"),
        ({"name": "chrf", "order": 6}, "similarity.order", "it has none"),
        ({"model": "x"}, "similarity.name", "needs a name"),
        ({"name": 3}, "similarity.name", "needs a name"),
        (3, "similarity", "got int"),
        ({"name": "embedding", "same_at": 2}, "similarity.same_at", "0 to 1"),
        ({"name": "embedding", "model": " "}, "similarity.model", "name an embedding model"),
        ({"name": "embedding", "backend": "tf"}, "similarity.backend", "torch"),
        ({"name": "embedding", "same_at": "high"}, "similarity", "wrong type"),
        ({"name": "embedding", "timeout": "soon"}, "similarity.timeout", "number"),
        ({"name": "embedding", "max_retries": -1}, "similarity.max_retries", "0"),
        ({"name": "embedding", "cache_size": -1}, "similarity.cache_size", "0 or more"),
    ],
)
def test_wrong_settings_are_refused_by_name(spec: object, field: str, complaint: str):
    with pytest.raises(ConfigError, match=complaint) as caught:
        get_similarity(spec)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_all_names_can_be_built():
    assert set(PLAIN) | {"embedding"} <= set(similarities())
    for name in PLAIN:
        assert get_similarity(name).name == name
    with pytest.raises(ConfigError, match="expected a class or a function"):
        register_similarity("x", 3)  # type: ignore[arg-type]


def test_three_answers_two_of_which_agree_make_a_majority():
    found = compare(get_similarity("exact"), "q", said("1,000", "one thousand", "1001"))
    assert complete_link(found.matrix, found.same_at) == (0, 0, 1)


N = 60_000
HOSTILE = {
    "backticks": "`" * N,
    "open fences": "```\n" * (N // 4),
    "quotes": '"' * N,
    "stars": "**a " * (N // 4),
    "bullets": "- " * (N // 2),
    "open boxes": "\\boxed{" * (N // 7),
    "open brackets": "[" * N,
    "half JSON": '{"answer": "' + "\\\\" * (N // 2),
    "many answers": "the answer is " * (N // 14),
    "apologies": "I'm sorry, but " * (N // 14),
    "combining marks": "a" + "\u0301" * N,
    "spaces": " " * N + "x",
    "digit groups": "1,000," * (N // 6),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_makes_comparing_slow(text: str):
    """Model output is untrusted: nothing that it holds may take time out of proportion to its length."""
    start = time.perf_counter()
    for name in ("auto", "exact", "json"):
        compare(get_similarity(name), text[:N], said(text, text[:-7] + "q", "42"))
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("heavy", [False, True])
def test_long_answers_of_concurrent_queries_are_compared_one_query_after_the_other(heavy: bool):
    """Unless a model does it, which is shown what several queries have to compare."""
    meeting, met = threading.Barrier(2), list[bool]()

    class Watched(TextSimilarity):
        name = "watched"

        def matrix(self, texts: Sequence[str]) -> FloatArray:
            try:
                meeting.wait(timeout=10 if heavy else 0.2)
                met.append(True)
            except threading.BrokenBarrierError:
                meeting.reset()
                met.append(False)
            return np.eye(len(texts))

    similarity = Watched()
    similarity.heavy = heavy
    answers = [Candidate("a", text="a " * INLINE_CHARACTERS), Candidate("b", text="b")]

    async def queries() -> None:
        await asyncio.gather(*(acompare(similarity, f"query {i}", answers) for i in range(2)))

    asyncio.run(queries())
    assert met == [heavy, heavy]
