"""Lexical similarities against reference code, by hand, and on hard inputs."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from semcascade.errors import MissingDependencyError
from semcascade.messages import Candidate
from semcascade.similarity import compare, get_similarity
from semcascade.similarity.bleu import Bleu
from semcascade.similarity.lexical import ChrF, RougeL, TokenF1
from semcascade.similarity.tokens import tokenize

ALL = [RougeL(), TokenF1(), ChrF(), Bleu()]
WORDS = st.lists(st.sampled_from(["a", "the", "cat", "sat", "on", "mat", "b2"]), max_size=12).map(" ".join)
TEXTS = st.lists(WORDS | st.text(max_size=30), min_size=1, max_size=5)


def lcs(first: list[str], second: list[str]) -> int:
    """The textbook table."""
    row = [0] * (len(second) + 1)
    for a in first:
        previous = 0
        for j, b in enumerate(second, start=1):
            previous, row[j] = row[j], previous + 1 if a == b else max(row[j], row[j - 1])
    return row[-1]


@given(WORDS, WORDS)
def test_rouge_l_equals_the_textbook(first: str, second: str):
    one, other = first.split(), second.split()
    expected = 2 * lcs(one, other) / (len(one) + len(other)) if one or other else 0.0
    if first != second:
        assert RougeL().matrix([first, second])[0, 1] == pytest.approx(expected)


@given(WORDS, WORDS)
def test_token_f1_equals_the_textbook(first: str, second: str):
    one, other = Counter(first.split()), Counter(second.split())
    common = (one & other).total()
    expected = 0.0
    if common:
        precision, recall = common / other.total(), common / one.total()
        expected = 2 * precision * recall / (precision + recall)
    if first != second:
        assert TokenF1().matrix([first, second])[0, 1] == pytest.approx(expected)


PAIRS = [
    ("The cat sat on the mat.", "A cat sat on a mat!"),
    ("abc", "abd"),
    ("a", "abcdefgh"),
    ("西索对土地和水的描绘成为新画廊展览的中心", "西索的陆地、水域画作是新画廊展览的中心"),
    ("Sisovy zobrazení země a vody", "Sisoova znázornění země a vody jsou středem"),
    ("aaaaaaaa", "aaaa"),
    ("no overlap", "xyz"),
    ("two  spaces\nand lines", "two spaces and lines"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_chrf_equals_sacrebleu_in_both_directions(first: str, second: str):
    reference = CHRF()
    there = reference.sentence_score(first, [second]).score / 100
    back = reference.sentence_score(second, [first]).score / 100
    assert ChrF().matrix([first, second])[0, 1] == pytest.approx((there + back) / 2, abs=1e-9)


@given(WORDS.filter(str.strip), WORDS.filter(str.strip))
def test_chrf_equals_sacrebleu(first: str, second: str):
    reference = CHRF()
    there = reference.sentence_score(first, [second]).score / 100
    back = reference.sentence_score(second, [first]).score / 100
    assert ChrF().matrix([first, second])[0, 1] == pytest.approx((there + back) / 2, abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "tokens"),
    [
        ("The cat sat on the mat.", "A cat sat on a mat, didn't it?", "13a"),
        ("Sisovy zobrazení země a vody jsou zde", "Sisoova znázornění země a vody jsou zde", "13a"),
        ("西索对土地和水的描绘成为新画廊展览的中心", "西索的陆地、水域画作是新画廊展览的中心", "zh"),
        ("iPhone手机", "手机 iPhone 15", "zh"),
        ("日本の首都は東京です", "日本の首都は京都です", "char"),
        ("ประเทศไทย", "ประเทศจีน", "char"),
        ("a", "b", "13a"),
    ],
)
def test_bleu_equals_sacrebleu_in_both_directions(first: str, second: str, tokens: str):
    reference = BLEU(effective_order=True, tokenize=tokens)
    there = reference.sentence_score(first, [second]).score
    back = reference.sentence_score(second, [first]).score
    matrix = Bleu().matrix([first, second, first])
    assert matrix[0, 1] == matrix[1, 2] == pytest.approx((there + back) / 200)
    assert matrix[0, 2] == 1.0


def test_bleu_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    for using in (Bleu().prepare, lambda: Bleu().matrix(["a", "b"])):
        with pytest.raises(MissingDependencyError, match=r"semcascade\[lexical\]"):
            using()


def test_by_hand():
    # 2 of 3 words in order: 2·2/(3+3); as bags all 3.
    assert RougeL().matrix(["a b c", "a c b"])[0, 1] == pytest.approx(2 / 3)
    assert TokenF1().matrix(["a b c", "a c b"])[0, 1] == 1.0
    # "abc" and "abd": 2 of 3 letters, 1 of 2 pairs, 0 of 1 triples; mean precision = recall = 7/18.
    assert ChrF().matrix(["abc", "abd"])[0, 1] == pytest.approx(7 / 18)


@pytest.mark.parametrize("similarity", ALL, ids=lambda s: s.name)
@given(texts=TEXTS, data=st.data())
def test_laws(similarity: RougeL, texts: list[str], data: st.DataObject):
    matrix = similarity.matrix(texts)
    assert matrix.shape == (len(texts), len(texts))
    assert np.allclose(matrix, matrix.T)
    assert (np.diagonal(matrix) == 1).all()
    assert matrix.min() >= 0
    assert matrix.max() <= 1
    order = data.draw(st.permutations(range(len(texts))))
    assert np.allclose(similarity.matrix([texts[i] for i in order]), matrix[np.ix_(order, order)])
    # How alike two texts are does not depend on the others.
    assert np.allclose(similarity.matrix(texts[:2]), matrix[:2, :2])


@pytest.mark.parametrize("similarity", ALL, ids=lambda s: s.name)
def test_hard_inputs(similarity: RougeL):
    texts = [
        "",
        " ",
        "👍",
        "👎",
        "👍🏽 ok",
        "مرحبا بالعالم",
        "שלום עולם",
        "日本の首都は東京です",
        "ประเทศไทย",
        "!?",
        "\ud800",
        "a\x00b",
    ]
    matrix = similarity.matrix(texts)
    assert np.isfinite(matrix).all()
    assert matrix[2, 3] == 0.0
    assert matrix[0, 2] == 0.0
    assert similarity.matrix(["日本の首都は東京です", "日本の首都は京都です"])[0, 1] > 0.5
    assert similarity.matrix(["東京", "大阪"])[0, 1] == 0.0


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, World 42!", ["hello", "world", "42"]),
        ("naïve café", ["naïve", "café"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("iPhone手机", ["iphone", "手", "机"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("snake_case", ["snake", "case"]),
        ("", []),
        ("...", [".", ".", "."]),
    ],
)
def test_tokens(text: str, tokens: list[str]):
    import unicodedata

    assert tokenize(text) == [unicodedata.normalize("NFKC", token) for token in tokens]


@given(st.text(max_size=60))
def test_ascii_and_unicode_tokens_agree(text: str):
    """The fast path for ASCII is the slow path's result."""
    plain = "".join(character for character in text if character.isascii())
    assert tokenize(plain + "é")[-1:] != []
    assert [token for token in tokenize(plain + " é") if token != "é"] == (
        tokenize(plain) if any(character.isalnum() for character in plain) else []
    )


@given(
    st.lists(
        st.sampled_from(
            ["don't", "naïve", "東京です", "👍🏽", "שָׁלוֹם", "a\u0301", "\u0301", " ", "  ", "x" * 300, "!?"]
        ),
        max_size=40,
    )
)
def test_long_texts_are_cut_where_no_word_is(parts: list[str]):
    text = " ".join(parts)
    whole = tokenize(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semcascade.similarity.tokens._PIECE", 7)
        assert tokenize(text) == whole


def words(count: int, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(600)}" for _ in range(count))


def best_of(runs: int, work: object) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize(("similarity", "limit"), [(RougeL(), 1e-3), (TokenF1(), 2e-3), (ChrF(), 5e-3)])
def test_five_answers_of_200_words_take_about_a_millisecond(similarity: RougeL, limit: float):
    texts = [words(200, seed) for seed in range(5)]
    assert best_of(30, lambda: similarity.matrix(texts)) < limit


@pytest.mark.parametrize("similarity", ALL, ids=lambda s: s.name)
def test_long_texts_take_seconds_at_most(similarity: RougeL):
    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdefgh 東京", k=100_000)) for _ in range(3)]
    assert best_of(1, lambda: similarity.matrix(texts)) < 10


@pytest.mark.parametrize("name", ["rouge_l", "code"])
def test_what_is_very_long_is_compared_by_its_beginning_and_a_note_says_so(name):
    start = "東 " * 20_000
    answers = [Candidate("a", text=start + "京 "), Candidate("b", text=start + "大"), Candidate("c", text="東京")]
    found = compare(get_similarity(name), "?", answers)
    assert found.notes == ("2 of 3 answers were compared by their first 20,000 tokens",)
    assert found.matrix[0, 1] == 1.0
    assert compare(get_similarity(name), "?", answers[2:] * 2).notes == ()


def test_long_texts_without_spaces_are_cut_into_the_same_words():
    piece = "東京で３杯のコーヒーを飲んだ👍🏽cafe\u0301"
    assert tokenize(piece * 2_000) == tokenize(piece) * 2_000
