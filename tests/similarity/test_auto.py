"""`auto` chooses by what the answers are."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from semcascade.messages import Candidate, ToolCall
from semcascade.similarity import Query, compare, get_similarity

AUTO = get_similarity("auto")
JAPAN = "What is the capital of Japan?"
RIVERS = "Rivers carry sediment and nutrients down to the sea, and shape every valley on their way through the land. "
HILLS = (
    "Hills rise slowly where the ground folds under pressure, and wear away again under wind, ice and rain in time. "
)


def found(question: str, *texts: str):
    return compare(AUTO, question, [Candidate(f"m{index}", text=text) for index, text in enumerate(texts)])


@pytest.mark.parametrize(
    ("question", "texts", "method"),
    [
        ("6 * 7?", ("42", "43"), "auto: exact"),
        ("6 * 7?", ("42", "6 * 7 = 42. The answer is 42.", '{"answer": 41}'), "auto: exact"),
        (JAPAN, ("Tokyo", "The capital of Japan is Tokyo."), "auto: focus"),
        (JAPAN, ("Tokyo", "Tokyo, Japan", "I think that it must be Tokyo."), "auto: exact, focus"),
        ("As JSON", ('{"a": 1}', '{"a": 2}'), "auto: json"),
        ("Write f", ("def f(a):\n    return a", "def f(b):\n    return b + 1"), "auto: code"),
        ("Tell of rivers", (RIVERS, HILLS), "auto: chrf"),
        ("Tell of rivers", (RIVERS, HILLS, HILLS * 2, "Nile"), "auto: chrf, mention"),
    ],
)
def test_the_way_follows_the_answers_and_is_stated(question: str, texts: tuple[str, ...], method: str):
    comparison = found(question, *texts)
    assert comparison.method == method


def test_brief_answers_are_compared_by_what_they_add_to_the_question():
    texts = (
        "Tokyo", "The capital of Japan is Tokyo.", "Tokyo is the capital of Japan.",
        "Kyoto", "The capital of Japan is Kyoto.",
    )  # fmt: skip
    expected = np.kron(np.eye(2), np.ones((3, 3)))[:5, :5]
    assert found(JAPAN, *texts).matrix.tolist() == expected.tolist()
    # By wording the contradiction is the most alike pair of sentences.
    assert get_similarity("chrf").matrix([texts[1], texts[4]])[0, 1] > 0.7  # type: ignore[attr-defined]


def test_an_answer_that_says_more_is_nearly_the_same_and_a_conflict_is_not():
    matrix = found("Who wrote Swan Lake?", "Tchaikovsky", "Pyotr Ilyich Tchaikovsky", "Pyotr Kropotkin").matrix
    assert matrix[0, 1] == 0.7
    assert matrix[0, 2] == 0.0
    assert 0 < matrix[1, 2] < 0.2


def test_numbers_days_and_options_have_no_nearly():
    assert found("When?", "March 5, 2024", "March 6, 2024").matrix[0, 1] == 0.0
    assert found("How many?", "12 apples", "13 apples").matrix[0, 1] == 0.0
    assert found("Which?\nA) Paris, France\nB) Paris, Texas", "(A)", "(B)").matrix[0, 1] == 0.0
    assert found("Which?\nA) Paris, France\nB) Paris, Texas", "A", "Paris, France").matrix[0, 1] == 1.0


def test_a_long_text_that_mentions_a_stated_answer():
    long = RIVERS + "The longest of all is the Nile, as far as anyone can tell, though some would name the Amazon."
    matrix = found("Which river is longest?", "Nile", "Danube", long).matrix
    assert matrix[0, 2] == 0.7
    assert matrix[1, 2] < 0.2


def test_calls_and_texts_are_unlike():
    call = ToolCall("weather", '{"city": "Paris"}')
    answers = [
        Candidate("a", tool_calls=(call,)),
        Candidate("b", tool_calls=(ToolCall("weather", '{"city": "paris"}', id="x"),)),
        Candidate("c", text="It is sunny in Paris."),
    ]
    comparison = compare(AUTO, Query("Weather in Paris?"), answers)
    assert comparison.method == "auto: tool_calls, unlike"
    assert comparison.matrix.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_defaults_of_the_tools_reach_the_comparison_of_calls():
    tool = {"function": {"name": "f", "parameters": {"properties": {"unit": {"default": "km"}}}}}
    answers = [
        Candidate("a", tool_calls=(ToolCall("f", "{}"),)),
        Candidate("b", tool_calls=(ToolCall("f", '{"unit": "km"}'),)),
    ]
    assert compare(AUTO, Query("q", tools=(tool,)), answers).matrix[0, 1] == 1.0
    assert compare(AUTO, Query("q"), answers).matrix[0, 1] == 0.0


def test_fields_that_disagree_are_told():
    assert found("As JSON", '{"a": 1, "b": 2}', '{"a": 1, "b": 3}').notes == ("fields that disagree: b",)


def test_answer_fields_with_reasons_are_final_answers():
    first = '{"reasoning": "six sevens", "answer": 42}'
    second = 'Here you go:\n{"reasoning": "7 + 7 + ...\n= 42", "answer": "42"}'
    assert found("6 * 7?", first, second).matrix[0, 1] == 1.0


def test_ties_are_broken_by_the_wording_of_what_is_stated():
    comparison = found("Name?", "John Smith", "Jon Smith", "Mary Jones")
    assert comparison.tiebreak is not None
    assert comparison.tiebreak[0, 1] > comparison.tiebreak[0, 2]
    solved = found("Sum?", "Long way. The answer is 12.", "Long way. The answer is 13.", "#### 12.5")
    assert solved.tiebreak is not None
    assert solved.tiebreak[0, 2] > solved.tiebreak[1, 2]


def test_texts_that_only_look_structured_are_compared_as_texts():
    first, second = "{ " + RIVERS, "```\n" + RIVERS
    comparison = found("q", first, second)
    assert comparison.method == "auto: chrf"
    assert comparison.matrix[0, 1] > 0.8


def test_right_to_left_and_unspaced_texts():
    assert found("?", "القاهرة", "القاهرة.").matrix[0, 1] == 1.0
    assert found("?", "القاهرة", "بغداد").matrix[0, 1] == 0.0
    assert found("日本の首都は？", "東京", "東京です。").matrix[0, 1] >= 0.7
    assert found("日本の首都は？", "東京", "大阪").matrix[0, 1] == 0.0


def test_five_long_answers_take_a_few_milliseconds():
    rng = random.Random(0)
    answers = [
        Candidate(str(seed), text=" ".join(f"w{rng.randrange(600)}" for _ in range(200)).capitalize())
        for seed in range(5)
    ]
    times = []
    for _ in range(20):
        start = time.perf_counter()
        compare(AUTO, "Tell me something.", answers)
        times.append(time.perf_counter() - start)
    assert min(times) < 10e-3


@pytest.mark.parametrize(
    ("first", "second"),
    [("[1, 2, 3]", "[3, 2, 1]"), ("[1, 1, 2]", "[1, 2, 2]"), ("('a', 'b')", "('b', 'a')"), ("1 2 3", "3 2 1")],
)
def test_order_and_repetition_count_in_a_list(first: str, second: str):
    assert found("What does f return?", first, second).matrix[0, 1] < 0.5
    assert found("What does f return?", first, first.replace(" ", "  ")).matrix[0, 1] == 1.0


@pytest.mark.parametrize(
    ("first", "second"),
    [("-x", "x"), ("-√2", "\\sqrt{2}"), ("2 - 3i", "2 + 3i"), ("(-1, 2)", "(1, 2)"), ("a > b", "a < b"), ("n!", "n")],
)
def test_signs_count_in_a_formula(first: str, second: str):
    assert found("Solve it.", first, second).matrix[0, 1] < 0.5
    assert found("Solve it.", first, f"The answer is ${first.replace(' ', '')}$.").matrix[0, 1] == 1.0


def test_brief_answers_without_spaces_are_still_compared_by_their_words():
    assert found("日本的首都是哪里？", "东京", "日本的首都是东京。").matrix[0, 1] >= 0.7


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("443", "Port 443", 0.7),
        ("443", "Port 80", 0.0),
        ("443", "Ports 443 and 80", 0.0),
        ("six years", "6 years", 1.0),
        ("twenty-one days", "21 days", 1.0),
        ("twenty-one days", "20 days", 0.0),
        ("Two Towers", "2", 0.0),
    ],
)
def test_a_number_is_the_same_with_a_word_around_it(first: str, second: str, alike: float):
    assert found("Which one, and how many?", first, second).matrix[0, 1] == pytest.approx(alike)


BECAUSE = "because sunlight is scattered by the air, and more so where its waves are short."


@pytest.mark.parametrize(
    ("question", "first", "second", "alike"),
    [
        ("Is the sky blue? Answer yes or no.", f"Yes, {BECAUSE}", f"No, {BECAUSE}", 0.0),
        ("Is the sky blue? Answer yes or no.", "Yes.", "**Yes** - it is.", 1.0),
        ("Is the sky blue?", "yes", f"Yes, {BECAUSE}", 1.0),
        ("Is the sky blue?", "no", f"Yes, {BECAUSE}", 0.0),
        ("天空是蓝色的吗?", "是的,因为阳光散射。", "不是,因为阳光散射。", 0.0),
    ],
)
def test_yes_and_no_are_never_alike(question: str, first: str, second: str, alike: float):
    comparison = found(question, first, second)
    assert comparison.matrix[0, 1] == alike
    assert comparison.method in {"auto: stance", "auto: exact"}


@pytest.mark.parametrize(
    ("question", "first", "second"),
    [
        (JAPAN, "Tokyo", "It is not Tokyo, it is Kyoto."),
        (JAPAN, "Tokyo", f"{RIVERS * 2}It certainly isn't Tokyo."),
        ("Is it safe, or not safe?", "It is safe.", "It is not safe."),
    ],
)
def test_what_denies_an_answer_does_not_agree_with_it(question: str, first: str, second: str):
    assert found(question, first, second).matrix[0, 1] < 0.5


def test_what_states_an_answer_and_denies_another_agrees_with_the_first():
    text = f"{RIVERS * 2}It is not Kyoto; the capital was moved in the year 1868 from there to Tokyo."
    assert found(JAPAN, "Tokyo", text).matrix[0, 1] == 0.7


@pytest.mark.parametrize(
    ("question", "first", "second", "alike"),
    [
        ("Is it true or false?", "True", "The statement is true.", 0.7),
        ("Is the review positive or negative?", "positive", "The review is positive, not negative.", 1.0),
        ("Is the review positive or negative?", "The review is positive.", "The review is negative.", 0.0),
        ("2 + 2?", "4", "I think it is 4, not 5.", 0.7),
        ("2 + 2?", "5", "I think it is 4, not 5.", 0.0),
        ("When was it?", "1969", "July 20, 1969", 0.7),
        ("When was it?", "In July 1969.", "1969-07-20", 0.7),
        ("When was it?", "In June 1969.", "1969-07-20", 0.0),
        ("When was it?", "20 July", "1969-07-20", 0.0),
        ("How warm?", "20°C", "20 degrees Celsius", 1.0),
        ("How warm?", "20°C", "20°F", 0.0),
        ("Which? A) cat B) dog", "I would say B", "dog", 1.0),
        ("Which? A) cat B) dog", "I would say B", "cat", 0.0),
        (JAPAN, "Tokyo, of course!", "Sure! The capital of Japan is Tokyo.", 1.0),
        ("2 + 2?", "<think>3 or 4?</think>\n4", "4", 1.0),
        ("2 + 2?", "<think>4</think>\n5", "<think>4</think>\n3", 0.0),
        ("In SQL", "SELECT a FROM t WHERE x = 'Q';", "select a from t where x='Q'", 1.0),
    ],
)
def test_what_is_said_counts_and_not_how(question: str, first: str, second: str, alike: float):
    assert found(question, first, second).matrix[0, 1] == pytest.approx(alike)


def test_strings_in_sql_keep_their_case():
    matrix = found("In SQL", "SELECT a FROM t WHERE x = 'Q'", "SELECT a FROM t WHERE x = 'q'").matrix
    assert matrix[0, 1] < 0.95
