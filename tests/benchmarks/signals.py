"""How long signals take, alone and together: `python -m tests.benchmarks.signals`.

The goal: all of them for n = 10 answers in 1 ms. Evidence is worked out anew in every run.
"""

from __future__ import annotations

import numpy as np
from rich.console import Console

from semcascade.cli.tables import plain_table
from semcascade.signals import Evidence, signals
from semcascade.similarity import compare, get_similarity, sentence_words
from tests.benchmarks.timing import answers, timing

GOAL_MS = 1.0
OF_THE_MATRIX = (
    "agreement", "agreement_mean", "agreement_primary", "majority", "num_sets", "semantic_entropy",
    "semantic_entropy_corrected", "snne", "eigv", "deg", "ecc", "kle",
)  # fmt: skip


def main() -> None:
    """Print the tables."""
    console = Console(width=120)
    known = signals()
    for n in (3, 10):
        said = answers(n, 60)
        matrix = compare(get_similarity("chrf"), "", said).matrix
        rng = np.random.default_rng(0)
        shares = rng.random((n, n))
        fields = {
            "logprobs": tuple(tuple(-rng.random(80)) for _ in range(n)),
            "sentences": tuple(sentence_words(answer.text) for answer in said),
            "entailment": rng.dirichlet((1, 1, 1), (n, n)),
            "contradiction": shares,
            "unsupported": shares,
        }

        def evidence(matrix: np.ndarray = matrix, fields: dict = fields) -> Evidence:
            return Evidence(matrix, **fields)

        def together(names: tuple[str, ...]) -> None:
            one = evidence()
            for name in names:
                known[name].score(one)

        table = plain_table(f"n = {n}", "least", "median", "of the goal", right=("least", "median", "of the goal"))
        groups = {"all of the matrix": OF_THE_MATRIX, "all signals": tuple(known)}
        for name, members in {**groups, **{name: (name,) for name in known}}.items():
            took = timing(lambda members=members: together(members), 200)
            share = f"{took.median / GOAL_MS:.2f}" if name in groups else ""
            table.add_row(name, f"{took.least:.3f} ms", f"{took.median:.3f} ms", share)
        console.print(table)
        console.print()


if __name__ == "__main__":
    main()
