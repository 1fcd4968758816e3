"""Entailment: tiny cross-encoders built here, and tables of labels where the logic is what matters."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from semcascade.errors import ConfigError, MissingDependencyError
from semcascade.messages import Candidate
from semcascade.signals import Evidence, get_signal
from semcascade.similarity import Query, acompare, compare, get_similarity, local_models
from semcascade.similarity.entailment import DEFAULT_MODEL, Entailment, _Judged
from tests.support.tiny_models import cross_encoder

QUESTION = "what does the river do"
A, B, C = "it runs to the sea", "the river runs into a sea", "tax law of the year"
LABELS = ("Contradiction", "ENTAILMENT", "neutral")
LONG = " ".join(f"The river runs to the sea and the law of year {word} is a tax on it ." for word in "abc")


def said(*texts: str) -> list[Candidate]:
    return [Candidate(f"m{index}", text=text) for index, text in enumerate(texts)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a model whose labels stand in an order of their own."""
    pytest.importorskip("sentence_transformers")
    words = f"{QUESTION} {A} {B} {C} {LONG} .".lower().split()
    yield cross_encoder(tmp_path_factory.mktemp("nli"), words, LABELS)
    local_models.forget_models()


def reference(model: Path, premise: str, hypothesis: str) -> np.ndarray:
    """P(entailment), P(neutral), P(contradiction) by transformers alone."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    with torch.no_grad():
        inputs = tokenizer(premise, hypothesis, return_tensors="pt", truncation=True, max_length=64)
        shares = torch.softmax(network(**inputs).logits[0], dim=0).numpy()
    return shares[[1, 2, 0]]


def test_probabilities_equal_the_models_with_the_question_before_both(tiny: Path):
    found = compare(Entailment(str(tiny)), QUESTION, said(A, B, C))
    stated = [f"{QUESTION} {text}" for text in (A, B, C)]
    for i in range(3):
        for j in range(3):
            expected = [1, 0, 0] if i == j else reference(tiny, stated[i], stated[j])
            assert found.entailment[i, j] == pytest.approx(expected, abs=1e-5), (i, j)
    follows = found.entailment[..., 0]
    assert np.allclose(found.matrix, (follows + follows.T) / 2)
    assert found.method == f"entailment by {tiny}"
    assert found.notes == found.paid == ()
    # The test would be idle if the model gave the same to every pair.
    assert np.ptp(follows[~np.eye(3, dtype=bool)]) > 0.01


def test_long_answers_are_checked_sentence_by_sentence(tiny: Path):
    found = compare(Entailment(str(tiny)), "", said(C, LONG))
    parts = [f"{part} ." for part in LONG.removesuffix(" .").split(" . ")]
    assert len(parts) == 3
    shares = np.array([reference(tiny, C, part) for part in parts])
    assert found.entailment[0, 1] == pytest.approx(shares.mean(axis=0), abs=1e-5)
    ratios = shares[:, 2] / (shares[:, 0] + shares[:, 2])
    assert found.contradiction[1, 0] == pytest.approx(ratios.mean(), abs=1e-5)
    # The other way the long answer is the premise, and the short one the only part.
    one = reference(tiny, LONG, C)
    assert found.entailment[1, 0] == pytest.approx(one, abs=1e-5)
    assert found.contradiction[0, 1] == pytest.approx(one[2] / (one[0] + one[2]), abs=1e-5)


def test_the_self_check_takes_the_mean_over_sentences_and_others(tiny: Path):
    found = compare(Entailment(str(tiny)), "", said(LONG, A, C))
    evidence = Evidence(found.matrix, contradiction=found.contradiction, entailment=found.entailment)
    expected = (found.contradiction[0, 1] + found.contradiction[0, 2]) / 2
    assert get_signal("selfcheck_nli").score(evidence).value == pytest.approx(expected)
    assert get_signal("kle").score(evidence).value is not None


class Table(Entailment):
    """Entailment by a table: (premise, hypothesis) → label; neutral unless given."""

    def __init__(self, table: Mapping[tuple[str, str], str], **settings: object) -> None:
        super().__init__("table", **settings)
        self.table = table
        self.batches: list[list[tuple[str, str]]] = []

    def _predict(self, pairs: list[tuple[str, str]]) -> list[_Judged]:
        self.batches.append(pairs)
        shares = {"e": (0.8, 0.1, 0.1), "n": (0.1, 0.8, 0.1), "c": (0.1, 0.1, 0.8)}
        return [_Judged(shares[self.table.get(pair, "n")]) for pair in pairs]


def clusters(table: Mapping[tuple[str, str], str], *, lenient: bool) -> tuple[int, ...]:
    found = compare(Table(table, lenient=lenient), "", said("a", "b")).clusters
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("there", "back", "strict", "lenient"),
    [
        ("e", "e", True, True),
        ("e", "n", False, True),
        ("n", "e", False, True),
        ("n", "n", False, False),
        ("e", "c", False, False),
        ("c", "n", False, False),
        ("c", "c", False, False),
    ],
)
def test_strict_and_lenient_sameness(there: str, back: str, strict: bool, lenient: bool):
    table = {("a", "b"): there, ("b", "a"): back}
    assert clusters(table, lenient=False) == ((0, 0) if strict else (0, 1))
    assert clusters(table, lenient=True) == ((0, 0) if lenient else (0, 1))


def test_clusters_follow_their_first_member():
    same = {("a", "b"): "e", ("b", "a"): "e", ("b", "c"): "e", ("c", "b"): "e"}
    found = compare(Table(same), "", said("a", "b", "c", "a", ""))
    assert found.clusters == (0, 0, 1, 0, 2)
    assert compare(Table(same), "", said("b", "a", "c")).clusters == (0, 0, 0)
    # Signals that count meanings take these clusters, not those of the matrix.
    evidence = Evidence(found.matrix, clusters=found.clusters)
    assert get_signal("num_sets").score(evidence).value == 3


def test_all_pairs_go_to_the_model_in_one_batch_and_none_twice():
    model = Table({})
    compare(model, "", said("a", "b", "a", "c", ""))
    assert [len(batch) for batch in model.batches] == [6]
    assert len(set(model.batches[0])) == 6
    compare(model, "", said("c", "d", "b"))
    assert [len(batch) for batch in model.batches] == [6, 4]
    assert all("d" in pair for pair in model.batches[1])
    compare(model, "another question", said("a", "b"))
    assert len(model.batches[2]) == 2


def test_a_part_that_is_the_other_answer_follows_from_it_unasked():
    long = "One two three four five six seven eight. " * 6
    model = Table({})
    found = compare(model, "", said(long.strip(), "One two three four five six seven eight."))
    assert found.entailment[1, 0].tolist() == [1, 0, 0]
    assert [len(batch) for batch in model.batches] == [1]


def test_long_questions_leave_room_for_the_answers():
    model = Table({})
    compare(model, "context " * 1000 + "Who?", said("a", "b"))
    premise = model.batches[0][0][0]
    assert premise.endswith("context Who? a")
    assert len(premise) < 500


def test_what_is_left_out_is_told(tiny: Path):
    many = " ".join(f"The river number {index} runs down to the sea." for index in range(50))
    model = Table({})
    assert compare(model, "", said(many, "a")).notes == ("1 of 2 answers were checked by 20 of their sentences",)
    hypotheses = [pair[1] for pair in model.batches[0] if pair[0] == "a"]
    assert len(hypotheses) == 20
    assert (hypotheses[0], hypotheses[-1]) == (
        "The river number 0 runs down to the sea.", "The river number 49 runs down to the sea.",
    )  # fmt: skip
    for _ in range(2):
        found = compare(Entailment(str(tiny)), "", said("river " * 80, A))
        assert found.notes == (f"1 of 2 answers were longer than {tiny} reads and lost their end",)
    assert "lost their end" in compare(Table({}), "", said("x" * 30_000, "a")).notes[0]


def test_two_labels_are_entailment_and_not(tmp_path: Path):
    model = cross_encoder(tmp_path, f"{A} {B}".split(), ("entailment", "not_entailment"))
    found = compare(Entailment(str(model)), "", said(A, B))
    assert (found.entailment[..., 1] == 0).all()
    assert found.entailment[0, 1].sum() == pytest.approx(1)


def test_labels_without_names_are_refused_before_anything_is_compared(tmp_path: Path):
    model = cross_encoder(tmp_path, f"{A} {B}".split(), ("LABEL_0", "LABEL_1", "LABEL_2"))
    with pytest.raises(ConfigError, match="LABEL_0, LABEL_1, LABEL_2 are not those of an entailment model") as caught:
        Entailment(str(model)).prepare()
    assert caught.value.field == "similarity.model"
    named = Entailment(str(model), labels=["entailment", "contradiction", "neutral"])
    named.prepare()
    other = Entailment(str(model), labels=["neutral", "contradiction", "entailment"])
    first, second = (compare(one, "", said(A, B)).entailment[0, 1] for one in (named, other))
    assert first == pytest.approx(second[[1, 0, 2]])
    with pytest.raises(ConfigError, match=r"2 labels are named, and .* has 3") as caught:
        Entailment(str(model), labels=["entailment", "contradiction"]).prepare()
    assert caught.value.field == "similarity.labels"


@pytest.mark.parametrize(
    ("settings", "field", "complaint"),
    [
        ({"model": ""}, "model", DEFAULT_MODEL),
        ({"same_at": 2}, "same_at", "0 to 1"),
        ({"batch_size": 0}, "batch_size", "1 or more"),
        ({"cache_size": -1}, "cache_size", "0 or more"),
        ({"backend": "tf"}, "backend", "onnx"),
        ({"labels": ["yes", "no"]}, "labels", "yes, no"),
        ({"strict": True}, "strict", "known are"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, object], field: str, complaint: str):
    with pytest.raises(ConfigError, match=complaint) as caught:
        get_similarity({"name": "entailment", **settings})
    assert caught.value.field == f"similarity.{field}"


def test_a_model_that_is_not_there_and_a_package_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="cannot load the model") as caught:
        Entailment(str(tmp_path / "empty")).prepare()
    assert caught.value.field == "similarity.model"
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingDependencyError, match=r"semcascade\[embeddings\]"):
        Entailment("some/model-not-loaded").prepare()


async def test_the_event_loop_runs_on_while_the_model_computes(monkeypatch: pytest.MonkeyPatch):
    started, resume = threading.Event(), threading.Event()

    class Slow(Table):
        def _predict(self, pairs: list[tuple[str, str]]) -> list[_Judged]:
            started.set()
            assert resume.wait(10)
            return super()._predict(pairs)

    task = asyncio.create_task(acompare(Slow({("a", "b"): "e"}), Query("q"), said("a", "b")))
    assert await asyncio.to_thread(started.wait, 10)
    resume.set()
    assert (await task).matrix.shape == (2, 2)
