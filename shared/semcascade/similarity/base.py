"""What a similarity is: (question, answers) → n×n matrix in [0, 1].

Symmetric, with ones on the diagonal. Answers that say nothing (empty, refusals, cut off) resemble no other
answer, so that they never count as consensus; `mask_degenerate` sees to that for every similarity.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from semcascade.messages import Candidate

__all__ = ["Comparison", "FloatArray", "PaidCall", "Similarity"]

FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PaidCall:
    """One paid call that a comparison made (a remote embedding, a judge).

    Attributes:
        what: Which model was called.
        cost: US dollars, or None where unknown.
    """

    what: str
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How alike the answers are, and how that was found out.

    Attributes:
        matrix: n×n, in [0, 1], ones on the diagonal.
        method: The similarity that was used, in words a user can read.
        paid: Paid calls that were made for it.
        notes: What the user should know, e.g. that an answer was truncated.
    """

    matrix: FloatArray
    method: str
    paid: tuple[PaidCall, ...] = ()
    notes: tuple[str, ...] = ()


class Similarity(ABC):
    """Compares answers. Pure: the same question and answers give the same matrix.

    Attributes:
        name: The name it is chosen by.
        heavy: Whether one comparison may take more than about 10 ms; such ones run in a worker thread.
    """

    name: ClassVar[str]
    heavy: ClassVar[bool] = False

    @abstractmethod
    def compare(self, question: str, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers under the question."""

    async def acompare(self, question: str, answers: Sequence[Candidate]) -> Comparison:
        """Compare without blocking; similarities that call a service override this one."""
        return self.compare(question, answers)
