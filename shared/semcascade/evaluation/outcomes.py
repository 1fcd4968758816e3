"""What a cascade makes of recorded rows, in numbers: replayed where it is not known from an earlier replay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import astuple, dataclass
from typing import Self

from semcascade.config import CascadeConfig
from semcascade.decision import Decision, TierRecord
from semcascade.deferral.neighbours import HASHED
from semcascade.engine.entry import entry_of
from semcascade.engine.policies import policy_of
from semcascade.evaluation.replay import Replayer, batches
from semcascade.evaluation.rows import Row
from semcascade.memory import key_of, shared_memory
from semcascade.signals.catalog import comes_along
from semcascade.similarity import get_similarity
from semcascade.similarity.remembered import is_lasting

__all__ = ["Outcomes", "RowOutcome", "asking_all", "unrouted"]


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What was decided on one row, and what each tier before the target says of it.

    Attributes:
        answered: The number of the tier that answered.
        scoring: US dollars for comparing, or None where unknown.
        scores: Each tier's reliability, None where undefined.
        chosen: The member and the sample that each tier would return, by number; None where nobody answered.
        signal: What was scored, or "".
        started: The number of the tier that the query started at.
        unrouted: The number of the tier that answers where every query starts at the first.
    """

    answered: int
    scoring: float | None
    scores: tuple[float | None, ...]
    chosen: tuple[tuple[str, int] | None, ...]
    signal: str
    started: int = 0
    unrouted: int = 0

    @classmethod
    def of(cls, decision: Decision, plain: Decision, full: Decision, cheap: int) -> Self:
        """Return the outcome of a row.

        Args:
            decision: What was decided.
            plain: What is decided without a router.
            full: What is decided where every tier is asked.
            cheap: How many tiers come before the target.
        """
        tiers = full.tiers[:cheap]
        costs = [tier.scoring_cost for tier in tiers]
        return cls(
            answered=_answering(decision, cheap),
            scoring=None if None in costs else float(sum(cost or 0.0 for cost in costs)),
            scores=tuple(tier.score for tier in tiers),
            chosen=tuple(_chosen(tier) for tier in tiers),
            signal=next((tier.signal for tier in tiers if tier.signal), ""),
            started=_starting(decision),
            unrouted=_answering(plain, cheap),
        )


def _starting(decision: Decision) -> int:
    return 0 if decision.route is None else len(decision.route.skipped)


def _answering(decision: Decision, cheap: int) -> int:
    """Return the number of the tier that answered."""
    return _starting(decision) + len(decision.tiers) - 1 if decision.accepted else cheap


def _chosen(tier: TierRecord) -> tuple[str, int] | None:
    if tier.chosen is None:
        return None
    member = tier.candidates[tier.chosen].member
    return member, sum(candidate.member == member for candidate in tier.candidates[: tier.chosen])


class Outcomes:
    """Finds what a cascade makes of rows, and remembers it where the same rows will come to the same again.

    Args:
        config: The cascade.

    Raises:
        ConfigError: If a setting is wrong.
    """

    def __init__(self, config: CascadeConfig) -> None:
        self._tiers, self._memory = config.tiers, shared_memory()
        self._decides = Replayer(config)
        plain = unrouted(config)
        self._plain = None if plain == config else Replayer(plain)
        self._asks_all = Replayer(asking_all(config)) if len(config.tiers) > 2 else None
        self._systems = list(dict.fromkeys(member.name for tier in config.tiers for member in tier.members))
        self._cascade = _fingerprint(config) if _lasts(config) else None

    async def of(self, rows: Iterable[Row]) -> AsyncIterator[tuple[Row, RowOutcome]]:
        """Yield every row with its outcome, in order; each row must have an answer of every member."""
        async with AsyncExitStack() as stack:
            for replayer in filter(None, (self._decides, self._plain, self._asks_all)):
                await stack.enter_async_context(replayer)
            for some in batches(rows):
                for row, outcome in zip(some, await self._found(some), strict=True):
                    yield row, outcome

    async def _found(self, rows: Sequence[Row]) -> list[RowOutcome]:
        keys = [self._key(row) for row in rows]
        known = [self._recalled(key) for key in keys]
        new = [number for number, outcome in enumerate(known) if outcome is None]
        for number, outcome in zip(new, await self._replayed([rows[number] for number in new]), strict=True):
            self._memory.put(keys[number], astuple(outcome))
            known[number] = outcome
        return [outcome for outcome in known if outcome is not None]

    async def _replayed(self, rows: Sequence[Row]) -> list[RowOutcome]:
        decisions = await self._decides.decide(rows)
        plain = decisions if self._plain is None else await self._plain.decide(rows)
        full = plain if self._asks_all is None else await self._asks_all.decide(rows)
        cheap = len(self._tiers) - 1
        return [RowOutcome.of(*three, cheap) for three in zip(decisions, plain, full, strict=True)]

    def _key(self, row: Row) -> bytes | None:
        if self._cascade is None:
            return None
        answers = [row.all_answers(name) for name in self._systems]
        return key_of("outcome", self._cascade, row.messages, row.tools, row.response_format, answers)

    def _recalled(self, key: bytes | None) -> RowOutcome | None:
        found = self._memory.get(key)
        if found is None:
            return None
        answered, scoring, scores, chosen, signal, started, plain = found
        places = tuple(None if place is None else (place[0], place[1]) for place in chosen)
        return RowOutcome(answered, scoring, tuple(scores), places, signal, started, plain)


def unrouted(config: CascadeConfig) -> CascadeConfig:
    """Return a configuration by which every query starts at the first tier; the same where it does so anyway."""
    policy = policy_of(config)
    if entry_of(config, policy) is None:
        return config
    update: dict[str, object] = {"router": None}
    if policy is not None:
        update["policy"] = policy.model_copy(update={"router": None}).to_dict()
    return config.model_copy(update=update)


def asking_all(config: CascadeConfig) -> CascadeConfig:
    """Return a configuration that asks all tiers but the last, whatever they answer, so that each can be judged."""
    config = unrouted(config)
    policy = policy_of(config)
    if policy is not None:
        tiers = [tier.model_copy(update={"threshold": None, "bins": []}) for tier in policy.tiers]
        return config.model_copy(update={"policy": policy.model_copy(update={"tiers": tiers}).to_dict()})
    always = {"threshold": None, "escalation_rate": 1.0}
    return config.model_copy(update={"tiers": tuple(tier.model_copy(update=always) for tier in config.tiers)})


def _fingerprint(config: CascadeConfig) -> str | None:
    """Name the cascade by all that it is set to; None where that cannot be written down."""
    policy = policy_of(config)
    found = key_of("cascade", config.to_dict() | {"policy": policy.to_dict() if policy else None})
    return None if found is None else found.hex()


def _lasts(config: CascadeConfig) -> bool:
    """Say whether a row's outcome depends on nothing but the row and this library's code."""
    policy = policy_of(config)
    cheap = config.tiers[:-1]
    if any(tier.escalation_rate is not None for tier in cheap):  # then it depends on the rows before
        return False
    neighbours = policy.router.neighbours if policy and policy.router else None
    if neighbours is not None and neighbours.embedding != HASHED:  # a model's weights may change under its name
        return False
    deciding = policy.tiers if policy else cheap
    similarities = [tier.similarity or config.similarity for tier in deciding]
    signals = [tier.signal or config.signal for tier in deciding]
    return all(map(comes_along, signals)) and all(is_lasting(get_similarity(spec)) for spec in similarities)
