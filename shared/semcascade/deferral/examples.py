"""Rows to fit on: what a policy would have been shown, and how good each answer was, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from semcascade.deferral.features import Observation, family
from semcascade.deferral.tables import FloatArray
from semcascade.deferral.wording import hashed

__all__ = ["BUCKETS", "Examples", "Scale"]

BUCKETS = 1024
"""Into how many buckets the n-grams of a text are hashed."""

EXTREME = 5.0
"""Features count as no further from their mean than this many standard deviations."""


@dataclass(frozen=True)
class Examples:
    """Rows with the quality of every answer.

    Attributes:
        names: Names of the features.
        table: (n, features); NaN where a feature is missing.
        question: (n, buckets) hashed n-grams of the questions.
        answers: (n, members, buckets) hashed n-grams of the answers.
        usable: (n, members) whether the member's answer says anything.
        quality: (n, members) quality of the members' answers, 0 to 1.
        target: (n,) quality of the target's answer.
    """

    names: tuple[str, ...]
    table: FloatArray
    question: npt.NDArray[np.float32]
    answers: npt.NDArray[np.float32]
    usable: npt.NDArray[np.bool_]
    quality: FloatArray
    target: FloatArray

    @classmethod
    def of(
        cls,
        seen: Sequence[Observation],
        usable: npt.NDArray[np.bool_],
        quality: FloatArray,
        target: FloatArray,
        *,
        buckets: int = BUCKETS,
    ) -> Examples:
        """Return what was seen of each row as arrays; a constant feature is left out."""
        known = sorted({name for one in seen for name in one.features})
        table = np.array([[one.features.get(name, np.nan) for name in known] for one in seen], dtype=np.float64)
        table[~np.isfinite(table)] = np.nan
        spread = np.nanmax(table, axis=0, initial=-np.inf) - np.nanmin(table, axis=0, initial=np.inf)
        kept = np.flatnonzero(spread > 1e-9)
        answers = np.zeros((len(seen), quality.shape[1], buckets), dtype=np.float32)
        for row, one in enumerate(seen):
            for place, text in one.answers.items():
                if place < quality.shape[1]:  # beyond are answers that were heard before
                    answers[row, place] = hashed(text, buckets)
        return cls(
            names=tuple(known[column] for column in kept),
            table=table[:, kept],
            question=np.array([hashed(one.question, buckets) for one in seen], dtype=np.float32),
            answers=answers,
            usable=usable,
            quality=quality,
            target=target,
        )

    def __len__(self) -> int:
        return len(self.target)

    @property
    def members(self) -> int:
        """How many answers a row has."""
        return int(self.quality.shape[1])

    @property
    def gains(self) -> FloatArray:
        """(n, members): how much better each answer is than the target's."""
        return np.asarray(self.quality - self.target[:, None], dtype=np.float64)

    def take(self, rows: npt.NDArray[np.intp]) -> Examples:
        """Return some of the rows."""
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "names"}
        return Examples(self.names, **{name: part[rows] for name, part in parts.items()})


@dataclass(frozen=True)
class Scale:
    """Centres and spreads of features, the same for all features of a family."""

    center: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, examples: Examples) -> Scale:
        """Measure them."""
        groups: dict[str, list[int]] = {}
        for column, name in enumerate(examples.names):
            found = family(name)
            groups.setdefault(name if found is None else f"{found[0]}:", []).append(column)
        center, spread = np.zeros(len(examples.names)), np.ones(len(examples.names))
        for columns in groups.values():
            values = examples.table[:, columns]
            values = values[np.isfinite(values)]
            center[columns] = values.mean() if len(values) else 0.0
            spread[columns] = max(values.std(), 1e-9) if len(values) else 1.0
        return cls(center.round(6), np.maximum(spread.round(6), 1e-6))

    def apply(self, examples: Examples) -> FloatArray:
        """Return the standardised features, (n, features); a missing one counts as its centre."""
        distance = (examples.table - self.center) / self.spread
        return np.where(np.isfinite(distance), np.clip(distance, -EXTREME, EXTREME), 0.0)
