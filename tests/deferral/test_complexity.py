import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.deferral.complexity import MAX_CHARACTERS, PARTS, query_complexity

HARD = """Prove by induction that \\sum_{k=1}^{n} k^2 = n(n+1)(2n+1)/6, then:
1. implement it;
2. what is it for n = 10, 100, 1000?
```python
def squares(n):
    return sum(k * k for k in range(n))
```"""


@given(st.text(max_size=300), st.integers(min_value=-1, max_value=100))
def test_the_metric_and_its_parts_lie_between_0_and_1(text, tools):
    found = query_complexity(text, tools=tools)
    assert 0 <= found.value <= 1
    assert set(found.parts) == set(PARTS)
    assert all(0 <= part <= 1 for part in found.parts.values())
    assert f"query complexity {found.value:.2f}" in found.reason


@given(st.text(max_size=100), st.integers(min_value=0, max_value=20))
def test_more_tools_never_ask_for_less(text, tools):
    assert query_complexity(text, tools=tools + 1).value > query_complexity(text, tools=tools).value


@given(st.text(max_size=100), st.sampled_from(["?", " 7 ", "\n", "≤"]))
def test_more_of_anything_that_counts_never_makes_its_part_less(text, more):
    part = {"?": "asks", " 7 ": "figures", "\n": "lines", "≤": "maths"}[more]
    longer = query_complexity(f"{text} x{more}")
    assert longer.parts[part] >= query_complexity(f"{text} x").parts[part]
    assert longer.parts[part] > 0


def test_the_parts_by_hand():
    found = query_complexity("Is 2 + 2 = 4? Are you sure?", tools=4)
    assert found.parts["asks"] == pytest.approx(2 / 5)
    assert found.parts["figures"] == pytest.approx(3 / 8)
    assert found.parts["tools"] == 0.5
    assert found.parts["length"] == pytest.approx(27 / 1027)
    assert found.parts["vocabulary"] == pytest.approx(0.2)  # four words, two bits
    assert (found.parts["lines"], found.parts["code"], found.parts["script"], found.parts["words"]) == (0, 0, 0, 0)


def test_each_part_tells_what_it_is_named_after():
    found = query_complexity(HARD)
    assert found.value > 0.6 > query_complexity("Hi, how are you?").value
    assert min(found.parts[name] for name in ("asks", "figures", "maths", "code", "lines")) > 0.2
    assert query_complexity("日本の首都はどこですか").parts["script"] == 1.0
    assert query_complexity("日本の首都はどこですか").parts["words"] == 0.0
    assert query_complexity("Internationalisation considerations").parts["words"] == 1.0


@pytest.mark.parametrize(
    "text",
    ["\n" * 400_000, "a" * 400_000, "(" * 400_000, "1 " * 200_000, ";  " * 100_000, " \t" * 200_000, "a(a" * 99_999],
)
def test_no_text_takes_long(text):
    started = time.process_time()
    query_complexity(text)
    assert time.process_time() - started < 1.0


def test_only_the_beginning_of_a_long_text_is_read_and_its_length_counts():
    short, long = "x " * (MAX_CHARACTERS // 2), "x " * MAX_CHARACTERS + "?"
    assert query_complexity(long).parts["asks"] == 0
    assert query_complexity(long).parts["length"] > query_complexity(short).parts["length"]
