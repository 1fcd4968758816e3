import pytest

from semcascade import Candidate
from semcascade.errors import InputError
from semcascade.evaluation import Row, evaluate, replay


def row(index, answers, scores):
    return Row(
        id=str(index),
        task="qa",
        messages=({"role": "user", "content": "the same question"},),
        tools=(),
        answers={name: Candidate(name, text) for name, text in answers.items()},
        scores=scores,
    )


RIGHT = {"a": "4", "b": "4", "t": "4"}
ROWS = [
    *(row(i, RIGHT, {"a": 1.0, "b": 1.0, "t": 1.0}) for i in range(6)),
    *(row(i, {"a": "5", "b": "7", "t": "4"}, {"a": 0.0, "b": 0.0, "t": 1.0}) for i in range(6, 10)),
]


async def test_rows_are_found_by_id_though_their_questions_are_the_same():
    decisions = await replay(ROWS, ["a", "b"], "t")
    assert [decision.accepted for decision in decisions] == [True] * 6 + [False] * 4


async def test_a_perfect_signal_takes_the_oracles_share():
    result = await evaluate(ROWS, ["a", "b"], "t")
    assert (result.n, result.target_quality, result.ensemble_quality) == (10, 1.0, 0.6)
    assert result.best_member == ("a", 0.6)
    assert result.oracle_share == pytest.approx(1.0)
    assert result.chord_gain == pytest.approx(result.gain)
    assert result.gain_ci[0] <= result.gain <= result.gain_ci[1]
    assert result.to_dict()["best_member"] == {"name": "a", "quality": 0.6}


async def test_the_same_rows_give_the_same_evaluation():
    assert await evaluate(ROWS, ["a", "b"], "t") == await evaluate(ROWS, ["a", "b"], "t")


async def test_missing_systems_are_named():
    with pytest.raises(InputError, match="'nobody'"):
        await evaluate(ROWS, ["a", "nobody"], "t")
    with pytest.raises(InputError, match="no rows"):
        await evaluate([], ["a", "b"], "t")
