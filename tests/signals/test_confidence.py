"""Token confidence, alone and with agreement, by hand and by its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.errors import ConfigError
from semcascade.signals import Evidence, Score, chow_quantile, get_signal, register_signal
from semcascade.signals.catalog import _SIGNALS

LOGPROBS = ((-0.1, -0.3, -2.0, -0.6), (-1.0, -1.0))
PAIR = np.array([[1.0, 0.25], [0.25, 1.0]])
TOKENS = st.lists(st.floats(-20, 0), min_size=1, max_size=12).map(tuple)


def score(name: str, logprobs: object = LOGPROBS, matrix: np.ndarray = PAIR, chosen: int = 0) -> Score:
    return get_signal(name).score(Evidence(matrix, chosen=chosen, logprobs=logprobs))


@pytest.mark.parametrize(
    ("name", "value", "reliability"),
    [
        ("chow_sum", -3.0, math.exp(-3.0)),
        ("chow_average", -0.75, math.exp(-0.75)),
        ("chow_minimum", -2.0, math.exp(-2.0)),
        # Between the least two of four, at 0.1 · 3 steps: -2.0 + 0.3 · 1.4
        ("chow_quantile", -1.58, math.exp(-1.58)),
        ("cocoa", 3.0 * 0.75, math.exp(-2.25)),
        ("cocoa_average", 0.75 * 0.75, math.exp(-0.5625)),
    ],
)
def test_by_hand(name: str, value: float, reliability: float):
    found = score(name)
    assert found.value == pytest.approx(value)
    assert found.reliability == pytest.approx(reliability)


def test_the_returned_answer_is_judged_not_another():
    assert score("chow_sum", chosen=1).value == pytest.approx(-2.0)
    assert score("cocoa_average", chosen=1).value == pytest.approx(0.75)
    three = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 1.0], [0.0, 1.0, 1.0]])
    assert score("cocoa", ((-1.0,),) * 3, three, chosen=1).value == pytest.approx(0.25)


@given(TOKENS)
def test_quantiles_run_from_the_least_token_to_the_greatest(tokens: tuple[float, ...]):
    def quantile(alpha: float) -> float:
        return chow_quantile(alpha).score(Evidence(np.eye(1), logprobs=(tokens,))).value

    values = [quantile(alpha) for alpha in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert values == sorted(values)
    assert values[0] == score("chow_minimum", (tokens,), np.eye(1)).value == min(tokens)
    assert values[-1] == max(tokens)


@given(TOKENS, st.floats(0, 1))
def test_agreement_never_makes_an_answer_less_reliable(tokens: tuple[float, ...], closer: float):
    for name in ("cocoa", "cocoa_average"):
        near = np.array([[1.0, max(closer, 0.25)], [max(closer, 0.25), 1.0]])
        assert score(name, (tokens, tokens), near).reliability >= score(name, (tokens, tokens)).reliability
    assert score("cocoa", (tokens, tokens), np.ones((2, 2))).reliability == 1.0


def test_answers_without_log_probabilities_say_what_to_do():
    for name in ("chow_sum", "chow_average", "chow_minimum", "chow_quantile", "cocoa", "cocoa_average"):
        assert "logprobs = true" in score(name, None).note
        assert score(name, (None, (-1.0,))).note == f"{name} is undefined for these answers"
        # Only the returned answer's matter.
        assert score(name, (None, (-1.0,)), chosen=1).value is not None


def test_probabilities_above_one_by_rounding_do_no_harm():
    assert score("chow_sum", ((1e-9,), (-1.0,))).reliability == 1.0
    assert score("cocoa", ((1e-9,), (-1.0,))).value == 0.0


def test_another_quantile_is_registered_by_its_name():
    register_signal(chow_quantile(0.4))
    try:
        assert get_signal("chow_quantile_0.4").score(Evidence(PAIR, logprobs=LOGPROBS)).value == pytest.approx(-0.54)
    finally:
        _SIGNALS.unregister("chow_quantile_0.4")
    with pytest.raises(ValueError, match="from 0 to 1"):
        chow_quantile(1.5)
    with pytest.raises(ConfigError, match="did you mean 'chow_quantile'"):
        get_signal("chow_quantile_0.4")
