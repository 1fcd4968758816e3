"""Sentences of any script, and no text that makes finding them slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.similarity import sentence_words, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("One.", ["One."]),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Pi is 3.14, e.g. on this page.", ["Pi is 3.14, e.g. on this page."]),
        ("J. S. Bach lived. Mr. Fox did not.", ["J. S. Bach lived.", "Mr. Fox did not."]),
        ('He said "Stop!" and left. "Why?" she asked.', ['He said "Stop!"', "and left.", '"Why?"', "she asked."]),
        ("- first\n- second\n\nThird", ["- first", "- second", "Third"]),
        ("1. first\n2. second", ["1. first", "2. second"]),
        ("東京です。「はい。」大阪です", ["東京です。", "「はい。」", "大阪です"]),
        ("ما اسمك؟ اسمي علي.", ["ما اسمك؟", "اسمي علي."]),
        ("राम आया। वह गया।", ["राम आया।", "वह गया।"]),
        ("Really?! Yes... no.", ["Really?!", "Yes...", "no."]),
        ("It is option B. Not C.", ["It is option B. Not C."]),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]):
    assert sentences(text) == expected


@given(st.text(alphabet="ab .!?。\n\"')", max_size=60))
def test_nothing_is_lost(text: str):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    assert all(sentence.strip() == sentence for sentence in sentences(text))


def test_words_of_sentences():
    assert sentence_words("It's 5 o'clock. 東京。") == (("it", "s", "5", "o", "clock"), ("東", "京"))


N = 100_000


@pytest.mark.parametrize("text", ["." * N + "x", ".)" * N, "a. " * N, "x" * N, "\n" * N, '."' * N, "。" * N, "1." * N])
def test_no_text_makes_it_slow(text: str):
    start = time.perf_counter()
    sentences(text)
    assert time.perf_counter() - start < 5
