"""Who of a cascade can answer a request at all: members that lack what it needs are not asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from semcascade.abilities import ABILITIES, Ability, field_of, in_words, needs
from semcascade.config import CascadeConfig, Member, Tier
from semcascade.engine.query import Plan
from semcascade.engine.scoring import TierScorer
from semcascade.errors import InputError
from semcascade.messages import Request

__all__ = ["routed"]

Lacks: TypeAlias = Mapping[int, frozenset[Ability]]
"""By a member's identity (two tiers may share a name), what it is known to lack."""


def routed(plan: Plan, request: Request, only: Member | None = None) -> tuple[Plan, Member | None]:
    """Return the plan for one request, and the one member to ask where there is no other way.

    Members that cannot answer are left out, tiers with too few of the others are passed over. Where the target itself
    cannot, the query goes straight to the best member that can. The plan's notes say so.

    Args:
        plan: The cascade's plan.
        request: What is asked.
        only: The one member to ask, instead of the cascade.

    Raises:
        InputError: If nobody can answer, or one cannot and `unsupported` is "raise".
    """
    wanted = needs(request)
    if not wanted:
        return plan, only
    members = plan.config.members() if only is None else (only,)
    lacks = _lacks(plan, members, wanted)
    if not lacks:
        return plan, only
    unable = [member for member in members if id(member) in lacks]
    if plan.config.unsupported == "raise" or len(unable) == len(members):
        raise _refusal(lacks, unable, nobody=len(unable) == len(members))
    target = plan.config.tiers[-1].members[0]
    if id(target) in lacks:
        best = _best(plan.config, lacks)
        return dataclasses.replace(plan, notes=(f"{_cannot(lacks, [target])}, {best.name} can",)), best
    return _narrowed(plan, lacks), None


def _lacks(plan: Plan, members: Sequence[Member], wanted: frozenset[Ability]) -> Lacks:
    """Return what members are known to lack; what is unknown of a member is tried."""
    known = {id(member): plan.transports.abilities(member) for member in members}
    lacks = {member: frozenset(need for need in wanted if said.get(need) is False) for member, said in known.items()}
    return {member: missing for member, missing in lacks.items() if missing}


def _refusal(lacks: Lacks, unable: Sequence[Member], *, nobody: bool) -> InputError:
    missing = lacks[id(unable[0])]
    first = next(ability for ability in ABILITIES if ability in missing)
    who = "no member" if nobody and len(unable) > 1 else unable[0].name
    can = f"{who} {'can' if who == 'no member' else 'cannot'} {in_words(missing)}, as far as is known"
    return InputError(f"{can}; if it can, say abilities={{{first!r}: True}} in its settings", field=field_of(first))


def _best(config: CascadeConfig, lacks: Lacks) -> Member:
    """Return who answers in the target's place, else the member of the highest priority in the last tier that can."""
    for member in config.fallback:
        if id(member) not in lacks:
            return member
    for tier in reversed(config.tiers):
        able = [member for member in tier.members if id(member) not in lacks]
        if able:
            return max(able, key=lambda member: member.priority)
    raise AssertionError("unreachable: somebody can answer")


def _narrowed(plan: Plan, lacks: Lacks) -> Plan:
    """Leave out who cannot answer."""
    tiers: list[Tier] = []
    scorers: list[TierScorer] = []
    notes: list[str] = []
    for tier, scorer in zip(plan.config.tiers, plan.scorers, strict=False):
        unable = [member for member in tier.members if id(member) in lacks]
        able = tuple(member for member in tier.members if id(member) not in lacks)
        if sum(member.samples for member in able) < scorer.quorum:
            notes.append(f"{tier.name} was passed over: {_cannot(lacks, unable)}")
            continue
        if unable:
            notes.append(f"{_cannot(lacks, unable)}, and {'were' if len(unable) > 1 else 'was'} not asked")
        tiers.append(tier.model_copy(update={"members": able}))
        scorers.append(scorer)
    fallback = tuple(member for member in plan.config.fallback if id(member) not in lacks)
    config = plan.config.model_copy(update={"tiers": (*tiers, plan.config.tiers[-1]), "fallback": fallback})
    return dataclasses.replace(plan, config=config, scorers=tuple(scorers), notes=tuple(notes))


def _cannot(lacks: Lacks, members: Sequence[Member]) -> str:
    names = " and ".join(filter(None, (", ".join(m.name for m in members[:-1]), members[-1].name)))
    return f"{names} cannot {in_words(ability for member in members for ability in lacks[id(member)])}"
