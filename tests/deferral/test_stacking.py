import numpy as np
import pytest

from semcascade.deferral.calibrators import calibrate, isotonic, logistic, logistic_model
from semcascade.deferral.examples import Examples, Scale
from semcascade.deferral.features import Observation, describe, family
from semcascade.deferral.judging import predict
from semcascade.deferral.learners import LEARNERS
from semcascade.deferral.stacking import constant_model, fit_stack, folds
from semcascade.deferral.wording import hashed


def examples(n=160, seed=0, *, noise=0.0):
    """Two members; agreement says whether they are right, and the second is right wherever the question is long."""
    rng = np.random.default_rng(seed)
    alike, length = rng.random(n), rng.random(n)
    seen = []
    for row in range(n):
        matrix = np.array([[1.0, alike[row]], [alike[row], 1.0]])
        answers = [{"length": float(rng.random())} for _ in range(2)]
        features = describe({"length": float(length[row])}, answers, [0, 1], {"own": matrix})
        seen.append(Observation(features, "long " * int(20 * length[row]), {0: "one", 1: "two"}))
    first = np.clip(alike + noise * rng.normal(size=n), 0, 1)
    second = np.clip((length > 0.5) + noise * rng.normal(size=n), 0, 1)
    quality = np.stack([first, second], axis=1)
    return seen, Examples.of(seen, np.ones((n, 2), dtype=bool), quality, np.full(n, 0.8), buckets=64)


def test_the_stack_learns_who_is_right_when():
    _, rows = examples()
    stack = fit_stack(rows)
    seen, fresh = examples(seed=1)
    members, target = predict(stack.model, seen)
    found = members - target[:, None]
    for member in range(2):
        assert np.corrcoef(found[:, member], fresh.gains[:, member])[0, 1] > 0.7
    chosen = fresh.quality[np.arange(len(fresh)), members.argmax(axis=1)].mean()
    assert chosen > fresh.quality.mean(axis=0).max() + 0.1


def test_tables_say_what_the_learners_said():
    """The model's plain tables, evaluated by numpy, are the weighted sum of the parts."""
    seen, rows = examples(noise=0.3)
    stack = fit_stack(rows)
    table = Scale.of(rows).apply(rows)
    usual = sum(
        stack.weights[name] * learner(rows, table).outputs(rows, table) for name, (learner, _) in LEARNERS.items()
    )
    members, target = predict(stack.model, seen)
    rest = 1 - sum(stack.weights.values())
    gains = rows.gains.mean(axis=0)
    drawn = gains.mean() + len(rows) / (len(rows) + 500) * (gains - gains.mean())
    np.testing.assert_allclose(members - target[:, None], usual[:, :-1] + rest * drawn, atol=2e-3)
    np.testing.assert_allclose(target, usual[:, -1] + rest * 0.8, atol=2e-3)


@pytest.mark.filterwarnings("error")
def test_the_least_of_scales_counts_as_extreme():
    """A policy file may say what it likes: a distance beyond all bounds is the longest there is."""
    seen, rows = examples(60)
    model = fit_stack(rows).model
    tiny = model.model_copy(update={"scale": [5e-324] * len(model.features)})
    assert all(np.isfinite(found).all() for found in predict(tiny, seen))


def test_predictions_of_unseen_folds_do_not_know_their_rows():
    """On noise alone, what the stack says of its own rows has nothing to do with them."""
    rng = np.random.default_rng(3)
    seen, rows = examples(200)
    noise = Examples.of(seen, rows.usable, rng.random((200, 2)), rng.random(200), buckets=64)
    stack = fit_stack(noise)
    assert abs(np.corrcoef(stack.gains.ravel(), noise.gains.ravel())[0, 1]) < 0.2


def test_the_same_rows_give_the_same_model():
    _, rows = examples(noise=0.2)
    assert fit_stack(rows).model == fit_stack(rows).model


def test_features_of_one_answer_form_families():
    _seen, rows = examples(40)
    assert family("own lead:1") == ("own lead", 1)
    scale = Scale.of(rows)
    first, second = rows.names.index("length:0"), rows.names.index("length:1")
    assert scale.center[first] == scale.center[second]
    assert "own:0:1" in rows.names
    assert "length beside:0" in rows.names


def test_an_answer_that_did_not_come_leaves_its_features_out():
    three = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.4], [0.2, 0.4, 1.0]])
    full = describe({"length": 1.0}, [{"length": 1.0}] * 3, [0, 1, 2], {"own": three})
    some = describe({"length": 1.0}, [{"length": 1.0}] * 2, [0, 2], {"own": three[np.ix_([0, 2], [0, 2])]})
    assert full["own rest:0"] == pytest.approx(0.4)
    assert full["own most:0"] == 0.5
    assert full["own least:2"] == 0.2
    assert some["own:0:2"] == 0.2
    assert not any(name.endswith(":1") for name in some)
    assert describe({"length": 1.0}, [{"length": 2.0}], [0], {"own": np.eye(1)}).keys() == {
        "question:length", "length:0", "length to question:0",
    }  # fmt: skip


def test_the_constant_model_knows_the_means():
    seen, rows = examples()
    members, target = predict(constant_model(rows), seen[:3])
    np.testing.assert_allclose(members, np.tile(rows.quality.mean(axis=0), (3, 1)), atol=1e-4)
    np.testing.assert_allclose(target, 0.8, atol=1e-4)


def test_the_logistic_model_gives_probabilities_that_follow_agreement():
    seen, rows = examples(300)
    good = rows.quality > 0.5
    model = logistic_model(rows, np.stack([good[:, 0], good[:, 0]], axis=1))
    members, _ = predict(model, seen)
    assert ((members > 0) & (members < 1)).all()
    assert np.corrcoef(members[:, 0], rows.quality[:, 0])[0, 1] > 0.8


def test_calibrators_by_hand():
    scores, wanted = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 1.0, 0.0, 1.0])
    assert isotonic(scores, wanted).over(scores).tolist() == [0.0, 0.5, 0.5, 1.0]
    curve = logistic(np.linspace(0, 1, 200), (np.linspace(0, 1, 200) > 0.5).astype(float))
    assert curve(0.1) < 0.1
    assert curve(0.5) == pytest.approx(0.5, abs=0.02)


def test_the_calibrator_is_chosen_by_unseen_rows_and_needs_enough_of_them():
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    found = calibrate(scores, rng.random(500) < scores)
    assert found is not None
    curve, how = found
    assert curve(0.9) == pytest.approx(0.9, abs=0.12)
    assert "cross-validated" in how
    _stepped, how = calibrate(scores, np.where(scores > 0.3, scores < 0.6, False))
    assert how.startswith("isotonic")
    assert calibrate(scores[:20], scores[:20] > 0.5) is None
    assert calibrate(scores, np.ones(500, dtype=bool)) is None


def test_hashed_texts_have_length_one_and_tell_texts_apart():
    one, other = hashed("How many apples are left?", 1024), hashed("Translate this sentence.", 1024)
    assert np.linalg.norm(one) == pytest.approx(1.0)
    assert one @ hashed("How many pears are left?", 1024) > 0.4 > one @ other
    assert not hashed("", 64).any() or np.isfinite(hashed("", 64)).all()
    assert hashed("東京タワーはどこですか", 64).any()
    assert np.isfinite(hashed("\ud800 broken", 64)).all()


def test_folds_part_the_rows():
    parts = folds(10, 4, seed=1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert {len(part) for part in parts} == {2, 3}
