import dataclasses
import json

import pytest

from semcascade import Candidate
from semcascade.config import CascadeConfig
from semcascade.errors import InputError, MemberTimeoutError
from semcascade.evaluation import Row, evaluate, replay
from semcascade.evaluation.replay import replay_each


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


async def test_rows_without_an_answer_or_a_score_are_left_out_and_told():
    told = []
    gaps = [
        dataclasses.replace(ROWS[0], id="x", answers={"a": ROWS[0].answers["a"], "t": ROWS[0].answers["t"]}),
        dataclasses.replace(ROWS[0], id="y", scores={"a": 1.0, "t": 1.0}),
    ]
    assert (await evaluate([*gaps, *ROWS], ["a", "b"], "t", skipped=told.append)).n == 10
    assert ["'b'" in what and f"{name}: " in what for what, name in zip(told, "xy", strict=True)] == [True, True]


async def test_rows_that_nobody_scored_say_how_to_score_them():
    with pytest.raises(InputError, match=r"semcascade score"):
        await evaluate([dataclasses.replace(row, scores={}) for row in ROWS], ["a", "b"], "t")


async def test_failures_are_worth_nothing_and_need_no_score():
    broken = Candidate("b", failure=MemberTimeoutError("too slow", member="b"))
    rows = [dataclasses.replace(r, answers=r.answers | {"b": broken}, scores={"a": 1.0, "t": 1.0}) for r in ROWS]
    found = await evaluate(rows, ["a", "b"], "t")
    assert found.at_threshold["deferral_rate"] == 1.0
    assert found.best_member == ("a", 1.0)
    gone = Candidate("t", failure=MemberTimeoutError("too slow", member="t"))
    rows = [dataclasses.replace(r, answers=r.answers | {"t": gone}, scores={"a": 1.0, "b": 1.0}) for r in ROWS]
    assert (await evaluate(rows, ["a", "b"], "t")).target_quality == 0.0


async def test_costs_are_those_recorded_where_all_are_known():
    prices = {"a": 0.001, "b": 0.003, "t": 0.02}

    def paid(row):
        answers = {name: dataclasses.replace(said, cost=prices[name]) for name, said in row.answers.items()}
        return dataclasses.replace(row, answers=answers)

    found = await evaluate(map(paid, ROWS), ["a", "b"], "t", member_cost=0.5)
    assert found.recorded_costs
    assert found.ensemble_cost == pytest.approx(0.2)
    assert found.at_threshold["cost"] == pytest.approx(0.2 + 0.4)
    assert found.break_even["deferral_rate"] == pytest.approx(0.8)
    assumed = await evaluate(ROWS, ["a", "b"], "t", member_cost=0.5)
    assert not assumed.recorded_costs
    assert assumed.ensemble_cost == 1.0
    assert any("never save" in note for note in assumed.notes)


async def test_samples_of_one_model_are_scored_one_by_one():
    def sampled(index):
        texts = ["4", "4", "5"] if index % 2 else ["5", "4", "4"]
        samples = tuple(Candidate("a", text) for text in texts)
        quality = tuple(float(text == "4") for text in texts)
        row = ROWS[0]
        return dataclasses.replace(
            row, id=str(index), answers={**row.answers, "a": samples[0]}, scores={"t": 1.0, "a": quality[0]},
            samples={"a": samples}, sample_scores={"a": quality},
        )  # fmt: skip

    found = await evaluate(map(sampled, range(10)), [{"model": "a", "samples": 3}], "t", selection="central")
    assert found.ensemble_quality == 1.0
    assert found.best_member == ("a", pytest.approx(2 / 3))
    assert found.ensemble_cost == pytest.approx(0.15)


async def test_three_tiers_are_all_asked_and_priced():
    def tiered(index):
        sure, right = index < 6, {"a": "4", "b": "4" if index < 6 else "7", "c": "4", "d": "4", "t": "4"}
        return row(index, right, {"a": float(sure), "b": float(sure), "c": 1.0, "d": 1.0, "t": 1.0})

    tiers = [{"members": ["a", "b"]}, {"members": ["c", "d"]}, {"members": ["t"]}]
    found = await evaluate(map(tiered, range(10)), tiers=tiers, member_cost=[0.05, 0.2])
    assert found.at_threshold == pytest.approx(
        {"threshold": 0.6, "deferral_rate": 0.0, "cost": 0.1 + 0.4 * 0.4, "quality": 1.0, "loss": 0.0}
    )
    assert found.best_member[0] in "cd"
    with pytest.raises(InputError, match="3 prices, tiers before the target: 2"):
        await evaluate(map(tiered, range(10)), tiers=tiers, member_cost=[0.05, 0.2, 0.3])


@pytest.mark.parametrize(
    ("rows", "words"),
    [(ROWS[:6], "nothing to tell apart"), (ROWS[6:], "same on all rows"), (ROWS, "only 10 rows")],
)
async def test_data_that_cannot_tell_much_says_so(rows, words):
    found = await evaluate(rows, ["a", "b"], "t")
    assert any(words in note for note in found.notes)
    json.dumps(found.to_dict(), allow_nan=False)


async def test_rows_are_read_as_they_are_needed():
    held = []

    def rows():
        for index in range(300):
            held.append(index)
            yield dataclasses.replace(ROWS[0], id=str(index))

    config = CascadeConfig.build(ensemble=["a", "b"], target="t")
    async for one, _ in replay_each(rows(), config):
        assert len(held) <= int(one.id) + 64
