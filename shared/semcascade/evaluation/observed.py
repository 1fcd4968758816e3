"""What a replay showed, row by row, as columns of numbers: answers are looked at once and let go of."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from semcascade.config import CascadeConfig
from semcascade.engine.entry import entry_of
from semcascade.engine.policies import policy_of
from semcascade.errors import InputError
from semcascade.evaluation.curve import FloatArray, Outcome
from semcascade.evaluation.outcomes import Outcomes, RowOutcome
from semcascade.evaluation.prices import Prices
from semcascade.evaluation.replay import tiers_of
from semcascade.evaluation.rows import Row, complete_rows
from semcascade.similarity import answer_text

__all__ = ["Observed", "RowsDigest", "labelled", "observe", "paid_for", "quality_of"]

_log = logging.getLogger(__name__)

HOW_TO_SCORE = (
    "score the answers first: semcascade score DATA --by WAY --out FILE, "
    "by references, by a judge, or, without labels, by the target's own answers (--by target)"
)

Watch = Callable[[Row], Awaitable[None]]


@dataclass(frozen=True)
class Observed:
    """What a cascade saw and did on n rows.

    Attributes:
        tiers: The names of each tier's members, the primary first; the last tier is the target.
        ids: (n,) the rows' ids.
        tasks: (n,) what kind of question each is.
        signal: What was scored.
        quality: (n,) of each system's answer, by its name; a failure is worth nothing.
        paid: (n,) US dollars for each system's answers, NaN where unknown.
        answers: (n,) how many answers each system gave.
        reliability: (tiers - 1, n) of each tier that was asked, NaN where undefined.
        chosen: (tiers, n) quality of the answer that each tier would return; NaN where it was not asked.
        scoring: (n,) US dollars for comparing, NaN where unknown.
        answered: (n,) the number of the tier that answered as the cascade is set.
        started: (n,) the number of the tier that the row started at; 0 without a router.
        unrouted: (n,) the number of the tier that would have answered without a router.
        routed: Whether a router says where rows start.
        threshold: What scores were held against, or None where that differs from row to row.
        of_the_fit: Whether these are the rows that the policy was fitted to.
    """

    tiers: tuple[tuple[str, ...], ...]
    ids: list[str]
    tasks: list[str]
    signal: str
    quality: dict[str, FloatArray]
    paid: dict[str, FloatArray]
    answers: dict[str, FloatArray]
    reliability: FloatArray
    chosen: FloatArray
    scoring: FloatArray
    answered: npt.NDArray[np.intp]
    started: npt.NDArray[np.intp]
    unrouted: npt.NDArray[np.intp]
    routed: bool
    threshold: float | None
    of_the_fit: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def members(self) -> tuple[str, ...]:
        """Every system but the target."""
        return tuple(dict.fromkeys(name for tier in self.tiers[:-1] for name in tier))

    @property
    def target(self) -> str:
        """The target's name."""
        return self.tiers[-1][0]

    @property
    def best_member(self) -> str:
        """The single member that is best on these rows."""
        return max(self.members, key=lambda name: float(self.quality[name].mean()))

    def outcome(self, prices: Prices) -> Outcome:
        """Return what accepting and deferring would have given and cost."""
        cost = np.stack([prices.of_tier(tier) for tier in self.tiers])
        if prices.recorded:
            cost[0] += np.nan_to_num(self.scoring)
        best = self.best_member
        return Outcome(self.reliability, self.chosen, cost, self.quality[best], prices.by_system[best])


async def observe(
    rows: Iterable[Row],
    config: CascadeConfig,
    *,
    skipped: Callable[[str], None] = _log.warning,
    watch: Watch | None = None,
) -> Observed:
    """Replay rows and keep the numbers.

    Args:
        rows: The rows.
        config: The cascade; its members are systems of the rows.
        skipped: Is told how many rows were left out, and why.
        watch: Is shown every row that is kept, in order.

    Raises:
        InputError: If no row has an answer and a score of every system.
    """
    columns, policy = _Columns(tiers_of(config)), policy_of(config)
    digest = RowsDigest(list(dict.fromkeys(member.name for tier in config.tiers for member in tier.members)))
    kept = labelled(rows, columns.systems, skipped)
    async for row, outcome in Outcomes(config).of(kept):
        columns.add(row, outcome)
        if policy is not None:
            digest.add(row)
        if watch is not None:
            await watch(row)
    of_the_fit = policy is not None and policy.data is not None and policy.data.digest == digest.text
    return replace(columns.observed(config), of_the_fit=of_the_fit)


class RowsDigest:
    """Names labelled rows by what was answered and how good that was, in order.

    Args:
        systems: Whose answers count, in order.
    """

    def __init__(self, systems: Sequence[str]) -> None:
        self._systems, self._digest = systems, hashlib.blake2b(digest_size=16)

    def add(self, row: Row) -> None:
        """Take in one more row."""
        answers = (answer_text(answer) for name in self._systems for answer in row.all_answers(name))
        for text in (row.id, *answers):
            written = text.encode("utf-8", "surrogatepass")
            self._digest.update(len(written).to_bytes(8, "little") + written)
        self._digest.update(repr([row.all_scores(name) for name in self._systems]).encode())

    @property
    def text(self) -> str:
        """The digest so far, in hexadecimal."""
        return self._digest.hexdigest()


class _Columns:
    """Numbers of the rows seen so far."""

    def __init__(self, tiers: tuple[tuple[str, ...], ...]) -> None:
        self._tiers = tiers
        self.systems = list(dict.fromkeys(name for tier in tiers for name in tier))
        self._ids, self._tasks = list[str](), list[str]()
        self._quality, self._paid, self._answers, self._decided = (list[list[float]]() for _ in range(4))
        self._signal = ""

    def add(self, row: Row, outcome: RowOutcome) -> None:
        """Keep the numbers of one row, of the decision on it, and of what all tiers say."""
        self._ids.append(row.id)
        self._tasks.append(row.task)
        self._quality.append([quality_of(row, name) for name in self.systems])
        self._paid.append([paid_for(row, name) for name in self.systems])
        self._answers.append([float(len(row.all_answers(name))) for name in self.systems])
        scoring, *scores = (np.nan if value is None else value for value in (outcome.scoring, *outcome.scores))
        chosen = [_chosen(row, place) for place in outcome.chosen]
        places = map(float, (outcome.answered, outcome.started, outcome.unrouted))
        self._decided.append([*places, scoring, *scores, *chosen])
        self._signal = self._signal or outcome.signal

    def observed(self, config: CascadeConfig) -> Observed:
        """Return the columns."""
        quality, paid, answers, decided = (
            np.array(block, dtype=np.float64).T for block in (self._quality, self._paid, self._answers, self._decided)
        )
        cheap = len(self._tiers) - 1
        target = quality[self.systems.index(self._tiers[-1][0])]
        return Observed(
            tiers=self._tiers,
            ids=self._ids,
            tasks=self._tasks,
            signal=self._signal or config.tiers[0].signal or config.signal,
            quality=dict(zip(self.systems, quality, strict=True)),
            paid=dict(zip(self.systems, paid, strict=True)),
            answers=dict(zip(self.systems, answers, strict=True)),
            reliability=decided[4 : 4 + cheap],
            chosen=np.vstack([decided[4 + cheap :], target]),
            scoring=decided[3],
            answered=decided[0].astype(np.intp),
            started=decided[1].astype(np.intp),
            unrouted=decided[2].astype(np.intp),
            routed=entry_of(config, policy_of(config)) is not None,
            threshold=_one_threshold(config),
        )


def _one_threshold(config: CascadeConfig) -> float | None:
    """Return what all scores are held against, or None where that differs."""
    policy = policy_of(config)
    if policy is not None:
        found = {None if tier.bins else tier.threshold for tier in policy.tiers}
    else:
        cheap = config.tiers[:-1]
        rates = any(tier.escalation_rate is not None for tier in cheap)
        found = {None if rates else config.threshold if tier.threshold is None else tier.threshold for tier in cheap}
    return found.pop() if len(found) == 1 else None


def quality_of(row: Row, system: str) -> float:
    """Return the quality of what a system answered, the mean of its samples; a failure is worth nothing."""
    given = zip(row.all_answers(system), row.all_scores(system), strict=False)
    scores = [score if answer.ok else 0.0 for answer, score in given]
    return scores[0] if len(scores) == 1 else float(np.mean(scores)) if scores else 0.0


def _chosen(row: Row, place: tuple[str, int] | None) -> float:
    """Return the quality of the answer that a tier would return; of no answer, 0."""
    if place is None:
        return 0.0
    member, sample = place
    scores = row.all_scores(member)
    return scores[sample] if sample < len(scores) else quality_of(row, member)


def paid_for(row: Row, system: str) -> float:
    """Return what a system's answers cost, in US dollars; NaN where unknown."""
    costs = [answer.cost for answer in row.all_answers(system)]
    return float(sum(np.nan if cost is None else cost for cost in costs))


def labelled(rows: Iterable[Row], systems: Sequence[str], skipped: Callable[[str], None]) -> Iterator[Row]:
    """Yield the rows whose answers all have scores; failures need none."""
    kept, left_out, first = 0, 0, ""
    for row in complete_rows(rows, systems, skipped=skipped):
        lacks = next((name for name in systems if row.answers[name].ok and not row.all_scores(name)), None)
        if lacks is None:
            kept += 1
            yield row
        else:
            left_out += 1
            first = first or f"{row.where or row.id}: the answer of {lacks!r} has no score"
    if not kept:
        raise InputError(f"no row is labelled ({first}); {HOW_TO_SCORE}", field="data")
    if left_out:
        skipped(f"{left_out} of {kept + left_out} rows are not labelled and left out; the first is {first}")
