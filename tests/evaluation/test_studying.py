import asyncio
import dataclasses
import importlib.util

import numpy as np
import pytest

from semcascade import Candidate
from semcascade.errors import MemberTimeoutError
from semcascade.evaluation import evaluate, report
from semcascade.evaluation.studying import study
from semcascade.signals import Evidence, register_signal
from semcascade.signals.catalog import _SIGNALS
from tests.evaluation.rows import MEMBERS, questions


@pytest.fixture(scope="module")
def found():
    return asyncio.run(study(questions(), MEMBERS, "large", title="sums"))


async def test_the_deciding_signal_stands_first_and_says_what_evaluate_says(found):
    alone = await evaluate(questions(), MEMBERS, "large")
    assert found.evaluation == alone
    first = found.signals[0]
    assert (first.name, first.auc, first.gain) == (alone.signal, alone.auc, alone.gain)
    assert first.quality[0] == pytest.approx(alone.ensemble_quality)
    assert first.quality[-1] == pytest.approx(alone.target_quality)


async def test_every_lexical_signal_is_there_with_its_interval(found):
    names = [one.name for one in found.signals]
    assert {"agreement", "majority", "semantic_entropy", "snne", "eigv", "selfcheck_ngram", "combined"} <= set(names)
    assert "chow_average" not in names, "no log-probabilities were recorded"
    assert len(set(names)) == len(names)
    for one in found.signals:
        assert np.all(one.low <= one.quality + 1e-9)
        assert np.all(one.quality <= one.high + 1e-9)
        assert np.all(one.quality <= found.oracle + 1e-9)


async def test_signals_side_by_side_are_those_that_evaluate_finds_one_by_one(found):
    entropy = await evaluate(questions(), MEMBERS, "large", signal="semantic_entropy")
    beside = next(one for one in found.signals if one.name == "semantic_entropy")
    assert beside.auc == pytest.approx(entropy.auc)


async def test_steps_are_what_thresholds_do(found):
    for threshold in (0.0, 0.33, 0.6, 1.0):
        alone = (await evaluate(questions(), MEMBERS, "large", threshold=threshold)).at_threshold
        step = found.steps[round(threshold * 100)]
        assert (step.rate, step.cost, step.quality) == pytest.approx(
            (alone["deferral_rate"], alone["cost"], alone["quality"])
        )


async def test_bins_groups_and_tasks_count_every_row(found):
    assert sum(one.good + one.bad for one in found.bins) + found.unscored == 200
    assert sum(one.rows for one in found.groups) == 200
    assert sum(one.rows for one in found.tasks) == 200
    assert [one.name for one in found.tasks] == ["easy sums", "hard sums"]
    assert all(one.low <= one.quality <= one.high for one in found.groups)
    assert [one.score for one in found.groups] == sorted(one.score for one in found.groups)
    easy, hard = found.tasks
    assert easy.deferred < hard.deferred


async def test_examples_are_what_they_are_called(found):
    assert found.agreed_wrong
    assert found.disagreed_fine
    for one in found.agreed_wrong:
        assert one.score >= 0.6
        assert next(said for said in one.members if said.chosen).quality == 0
    for one in found.disagreed_fine:
        assert one.score < 0.6
        assert next(said for said in one.members if said.chosen).quality == 1
    assert [said.system for said in one.members] == list(MEMBERS)
    assert one.target.system == "large"


async def test_secrets_that_models_repeat_are_not_shown_and_long_texts_are_cut():
    told = "The answer is sk-abcdefghijklmnop1234. " + "x" * 5_000
    rows = [
        dataclasses.replace(row, answers={name: Candidate(name, told) for name in row.answers}, scores=dict.fromkeys(row.scores, 0.0))
        for row in questions(20)
    ]  # fmt: skip
    found = await study(rows, MEMBERS, "large")
    texts = [said.text for one in found.agreed_wrong for said in (*one.members, one.target)]
    assert texts
    assert not any("sk-abc" in text for text in texts)
    assert all("more characters" in text and len(text) < 2_000 for text in texts)


async def test_graded_answers_are_good_where_the_target_is_hardly_better():
    graded = [
        dataclasses.replace(row, scores={name: 0.5 + 0.4 * score for name, score in row.scores.items()})
        for row in questions(60)
    ]
    found = await study(graded, MEMBERS, "large")
    assert "worse than the target" in found.good
    right = await study(questions(60), MEMBERS, "large")
    assert right.good == "right"


async def test_rows_that_can_be_read_once_only_will_do():
    found = await study(iter(questions(20)), MEMBERS, "large")
    assert found.evaluation.n == 20


async def test_a_signal_of_the_users_own_that_fails_is_not_among_them():
    def fails(evidence: Evidence) -> float:
        raise ZeroDivisionError("by zero")

    register_signal(fails, "always_fails")
    try:
        found = await study(questions(20), MEMBERS, "large")
    finally:
        _SIGNALS.unregister("always_fails")
    names = {one.name for one in found.signals}
    assert "agreement" in names
    assert "always_fails" not in names


async def test_a_policy_tells_its_certificate():
    certificate = {"certified": True, "claim": "joint", "limit": 0.05, "rows": 200, "accepted": 90, "method": "a test"}
    tier = {"members": list(MEMBERS), "threshold": 0.9, "certificate": certificate}
    policy = {"semcascade_policy": 1, "target": "large", "tiers": [tier]}
    found = await study(questions(40), MEMBERS, "large", policy=policy)
    assert "certified by a test" in found.certificates[0]
    assert found.evaluation.at_threshold["threshold"] == 0.9


async def test_three_tiers_can_be_studied():
    tiers = [{"members": ["small", "other"]}, {"members": ["third", "other"]}, {"members": ["large"]}]
    found = await study(questions(40), tiers=tiers, member_cost=[0.05, 0.1])
    assert [one.tier for one in found.systems] == [0, 0, 1, 1, 2]


def failed(row):
    gone = {name: Candidate(name, failure=MemberTimeoutError("too slow", member=name)) for name in MEMBERS}
    return dataclasses.replace(row, answers={**row.answers, **gone})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([dataclasses.replace(row, scores=dict.fromkeys(row.scores, 1.0)) for row in questions(12)], "nothing to tell"),
        ([dataclasses.replace(row, scores=dict.fromkeys(row.scores, 0.0)) for row in questions(12)], "nothing to tell"),
        ([failed(row) for row in questions(12)], "no row has a score"),
        (questions(1), "only 1 row:"),
    ],
    ids=["all right", "all wrong", "nobody answered", "one row"],
)
@pytest.mark.filterwarnings("error")
async def test_data_that_cannot_tell_much_are_studied_and_say_so(rows, words):
    found = await study(rows, MEMBERS, "large")
    assert any(words in note for note in found.evaluation.notes)
    assert found.evaluation.signal
    if importlib.util.find_spec("altair"):
        assert "<h1>" in report.render(found)
