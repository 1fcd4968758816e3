"""Which answers state the same, and which do not."""

from __future__ import annotations

import time
import unicodedata
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.similarity.canonical import canonical, options, strip_markup
from semcascade.similarity.exact import stated
from semcascade.similarity.extract import final_answer
from semcascade.similarity.numbers import Quantity, parse_date, parse_number, parse_quantity
from semcascade.similarity.numerals import _written, spoken_number

SAME = [
    ("Paris", "paris."),
    ("The Beatles", "beatles"),
    ("  New   York ", "new york"),
    ("ＡＢＣ", "abc"),
    ("“Hamlet”", "Hamlet"),
    ("don't", "don’t"),
    ("café", unicodedata.normalize("NFD", "café")),
    ("**Paris**", "Paris"),
    ("$x$", "x"),
    ("1,000", "1000"),
    ("1000", "one thousand"),
    ("1 000", "1000"),
    ("1\u202f000", "1000"),
    ("1e3", "1000"),
    ("2 × 10^3", "2000"),
    ("-5", "−5"),
    ("-5", "minus five"),
    ("0.5", "1/2"),
    ("½", "0.5"),
    ("\\frac{1}{2}", "0.5"),
    ("1 1/2", "1.5"),
    ("42", "42.0"),
    ("٤٢", "42"),
    ("４２", "42"),
    ("twenty-one", "21"),
    ("two hundred and five thousand", "205,000"),
    ("$64", "64"),
    ("\\$64", "64 dollars"),
    ("$1.5 million", "1,500,000 dollars"),
    ("50%", "50 percent"),
    ("50%", "50"),
    ("50%", "0.5"),
    ("3 hours", "3 hrs"),
    ("5 km", "5 kilometres"),
    ("12 apples", "12"),
    ("March 5, 2024", "2024-03-05"),
    ("5th of March 2024", "Mar. 5th, 2024"),
    ("2024年3月5日", "2024-03-05"),
    ("25/12/2024", "2024-12-25"),
    ("Yes.", "yes"),
    ("Yes", "Oui"),
    ("nein", "No!"),
    ("是的", "Yes"),
    ("(B)", "B."),
    ("Option b", "B)"),
    ("B) Paris", "(B)"),
    ("👍", "👍"),
    ("", " "),
    ("Option A", "(A)"),
    ("1½", "1.5"),
    ("2½ cups", "2.5 cups"),
    ("10³", "10^3"),
    ("10^3", "1000"),
    ("10⁻³", "0.001"),
    ("$1.5M", "$1.5 million"),
    ("Tuesday, March 5, 2024", "2024-03-05"),
    ("90^\\circ", "90 degrees"),
    ("90^{\\circ}", "90°"),
    ("\\sqrt{2}", "√2"),
    ("-2\\pi", "-2π"),
    ("\\textbf{(B)}\\ 5", "B"),
    ("5 cm²", "5 cm^2"),
    ("x²", "x^{2}"),
    ("x + 1", "x+1"),
    ("x = -3 or x = 2", "x=−3, x=2"),
    ("(-1, 2)", "-1,2"),
    ("(42)", "42"),
    ("555-1234", "555 1234"),
    ("semi-final", "semi final"),
    ("U.S.A.", "USA"),
    ("U.S.", "US"),
    ("N.A.S.A", "NASA"),
    ("J.R.R. Tolkien", "J. R. R. Tolkien"),
    ("J.R.R. Tolkien", "JRR Tolkien"),
    ("3:30 PM", "3:30pm"),
    ("3:30 p.m.", "3.30 pm"),
    ("3:30 PM", "15:30"),
    ("3 PM", "15:00"),
    ("3 p.m.", "3:00 PM"),
    ("03:30", "3:30"),
    ("12:15 AM", "0:15"),
    ("noon", "12 p.m."),
    ("midnight", "12:00 AM"),
    ("３：３０ PM", "15:30"),
    ("half", "1/2"),
    ("one half", "0.5"),
    ("a half", "50%"),
    ("two-thirds", "2/3"),
    ("three quarters", "0.75"),
    ("two and a half", "2.5"),
    ("two and a half hours", "2.5 hours"),
    ("一千", "1000"),
    ("两百", "200"),
    ("二十一", "21"),
    ("一百零五", "105"),
    ("一萬二千", "12,000"),
    ("三亿五千万", "350000000"),
    ("二〇二四", "2024"),
    ("十", "10"),
]

DIFFERENT = [
    ("Paris", "Lyon"),
    ("C++", "C"),
    ("C#", "C"),
    ("1000", "1001"),
    ("5", "-5"),
    ("1.5", "15"),
    ("1/2", "2"),
    ("5 km", "5 miles"),
    ("5 km", "5000 m"),
    ("50%", "5"),
    ("yes", "no"),
    ("yes", "true"),
    ("(A)", "(B)"),
    ("a", "(A)"),
    ("03/04/2024", "2024-03-04"),
    ("2024-02-30", "2024-03-01"),
    ("resume", "résumé"),
    ("👍", "👎"),
    ("?", "!"),
    ("not Paris", "Paris"),
    ("1,5", "15"),
    ("Option A", "Option"),
    ("1½", "5.5"),
    ("10³", "103"),
    ("$1.5M", "1.5 m"),
    ("(5)", "-5"),
    ("3/4", "3 4"),
    ("-x", "x"),
    ("-π", "π"),
    ("∞", "-∞"),
    ("-\\sqrt{2}", "\\sqrt{2}"),
    ("-x + 1", "x + 1"),
    ("2-3i", "2+3i"),
    ("(-1, 2)", "(1, -2)"),
    ("x = -3 or x = 2", "x = 3 or x = -2"),
    ("(0, 1]", "[0, 1)"),
    ("(1, 2)", "[1, 2]"),
    ("[[1], [2]]", "[[1, 2]]"),
    ("a > b", "a < b"),
    ("n!", "n"),
    ("f'(x)", "f(x)"),
    ("x²", "x2"),
    ("5 m²", "5 m³"),
    ("U.S.A.", "U.S.S.R."),
    ("U.K.", "U.S."),
    ("J.R.R. Tolkien", "C.S. Lewis"),
    ("e.g.", "eggs"),
    ("x.y", "xy"),
    ("1.2.3", "123"),
    ("3:30 PM", "3:30 AM"),
    ("3:30 PM", "3:30"),
    ("3:30 AM", "15:30"),
    ("3:30", "15:30"),
    ("12:00 AM", "12:00 PM"),
    ("12 pm", "0:00"),
    ("3:30 PM", "330 PM"),
    ("25:00", "1:00"),
    ("3:75 pm", "4:15 pm"),
    ("3:2", "3.2"),
    ("3:20", "3/20"),
    ("3:30", "330"),
    ("noon", "midnight"),
    ("half", "2"),
    ("half", "half past"),
    ("half-life", "1/2"),
    ("third", "1/3"),
    ("second", "2"),
    ("a quarter", "1/4"),
    ("three quarters", "3"),
    ("three quarterbacks", "3/4"),
    ("half and half", "1"),
    ("一千", "一万"),
    ("三国", "3"),
    ("一样", "1"),
    ("万", "10000"),
    ("千", "1000"),
    ("三四", "34"),
    ("一百五", "105"),
    ("一万二", "10002"),
    ("零五", "5"),
    ("百度", "100"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_the_same(first: str, second: str):
    assert canonical(first).same(canonical(second))
    assert canonical(second).same(canonical(first))


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_not_the_same(first: str, second: str):
    assert not canonical(first).same(canonical(second))
    assert not canonical(second).same(canonical(first))


@pytest.mark.parametrize("sign", ["or ", "1", "x", "-", "((", "\\sqrt{", "ab ", "1,"])
def test_what_is_no_formula_is_told_quickly(sign: str):
    started = time.process_time()
    canonical(sign * (180 // len(sign)) + "#")
    assert time.process_time() - started < 0.2


@given(st.text("0123456789xyzπ√-+*/^=<>()[]{}!,.'| ", max_size=30))
def test_a_formula_states_what_it_states(text: str):
    assert canonical(text).same(canonical(f" {text} "))


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_states_what_it_states(first: str, second: str):
    one, other = canonical(first), canonical(second)
    assert one.same(canonical(first))
    assert one.same(other) == other.same(one)


@given(st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=1))
def test_every_way_to_write_a_whole_number(number: Fraction):
    plain = str(int(number))
    assert parse_number(plain) == parse_number(f"{int(number):,}") == parse_number(f"{int(number):,}".replace(",", " "))
    assert parse_number(f"{plain}.00") == number
    assert parse_quantity(f"{plain} km") == Quantity(number, "km")


def spelled(number: int) -> str:
    """Independent of the parser: English words of a whole number below a million."""
    ones = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    units = [*ones.split(), "seventeen", "eighteen", "nineteen"]
    tens = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    if number < 20:
        return units[number]
    if number < 100:
        return tens[number // 10] + (f"-{units[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{units[number // 100]} hundred" + (f" and {spelled(number % 100)}" if number % 100 else "")
    return f"{spelled(number // 1000)} thousand" + (f" {spelled(number % 1000)}" if number % 1000 else "")


@given(st.integers(0, 999_999))
def test_number_words(number: int):
    assert parse_number(spelled(number)) == number
    assert parse_number(f"minus {spelled(number)}") == -number


@pytest.mark.parametrize(
    "text",
    ["", "and", "ten one", "twenty ten", "hundred", "one two", "thousand million", "1,00", "1/0", "12a", "hand", "five and",
     "1.2.3", "--5", "e5", "1" * 200],
)  # fmt: skip
def test_what_is_no_number(text: str):
    assert parse_number(text) is None


@given(st.dates(date(1000, 1, 1), date(2999, 12, 31)))
def test_every_way_to_write_a_day(day: date):
    for text in (
        day.isoformat(), f"{day.year}/{day.month}/{day.day}", f"{day:%B} {day.day}, {day.year}",
        f"{day.day} {day:%b} {day.year}", f"{day.day}.{day.month}.{day.year}", f"{day.year}年{day.month}月{day.day}日",
    ):  # fmt: skip
        assert parse_date(text) == day
    american = parse_date(f"{day.month}/{day.day}/{day.year}")
    assert american == (day if day.day > 12 or day.day == day.month else None)


def test_options_of_the_question():
    question = "Which city is the capital of France?\nA) Lyon\nB) Paris\n(C) Nice"
    offered = options(question)
    assert offered == {"a": "lyon", "b": "paris", "c": "nice"}
    assert canonical("Paris", offered).same(canonical("B"))
    assert canonical("b", offered).same(canonical("(B) Paris"))
    assert not canonical("b").same(canonical("(B)"))  # without options a bare small letter may be a variable
    assert options("What did A. Lincoln say?") == {}


def test_invisible_characters_and_nested_markup():
    assert strip_markup("\u202a**_Paris_**\u202c") == "Paris"
    assert strip_markup("\\boxed{\\text{Paris}}") == "Paris"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Adding up: 3 + 4 = 7.\n\n**42**", "42"),
        ("The answer is 42.", "42"),
        ("The answer is **42** apples.", "42 apples"),
        ("The answer is: 3.5 because of this.", "3.5"),
        ("so we get \\boxed{42}", "42"),
        ("\\boxed{\\frac{1}{2}} is right", "\\frac{1}{2}"),
        ("first \\boxed{1}, then \\boxed{2}", "2"),
        ("She pays $5 + $7.\n#### 1,234", "1,234"),
        ("**Final answer:** Paris", "Paris"),
        ("Final Answer: B", "B"),
        ("Answer:\nB", "B"),
        ("The correct answer is (C).", "(C)"),
        ("The answer is not sure. No: the answer is 7.", "7"),
        ("所以答案是42。", "42"),
        ("Die Antwort ist 42.", "42"),
        ("5 + 7 = 12", "12"),
        ("x = 3 and therefore\n$x^2 = 9$.", "9"),
        ("First 3 + 4 = 7. Then 7 + 2 = 9. So she has 9 apples left.", "9"),
        ('{"reasoning": "6 * 7", "answer": "42"}', "42"),
        ('```json\n{"reasoning": "6 * 7", "answer": 42}\n```', "42"),
        ('Here you are:\n{\n "reasoning": "line\nbreak",\n "answer": "42"\n}', "42"),
        ('{"answer": ""}', ""),
        ("Paris lies on the Seine.", None),
        ("", None),
        ('{"answer": 1, "name": "x"}', None),
        ("In 1999 he wrote 3 books, so in 2001 he was known.", None),
        ("**Introduction**\nIt was a long day.", None),
    ],
)
def test_final_answers(text: str, expected: str | None):
    assert final_answer(text) == expected


def test_solutions_that_end_alike_state_the_same():
    texts = [
        "6 * 7 = 42, so the answer is 42.", "We find \\boxed{42}", "#### 42", "forty-two", '{"answer": 42}', "**42**",
    ]  # fmt: skip
    forms = [stated(text) for text in texts]
    assert all(form.same(forms[0]) for form in forms)


@given(st.text(max_size=300))
def test_extraction_survives_any_text(text: str):
    found = final_answer(text)
    assert found is None or len(found) <= 120


@given(st.integers(1, 10**12))
def test_chinese_numerals_written_in_full_are_read(number: int):
    assert spoken_number(_written(number)) == number
