"""How a policy looks: what decides, from which score on, what that promises, and what else was tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from semcascade.cli.tables import plain_table
from semcascade.decision import one_line
from semcascade.deferral.policy import Bin, Policy, TierPolicy
from semcascade.deferral.router import RouterPolicy

if TYPE_CHECKING:
    from semcascade.evaluation.fitting import Fit
    from semcascade.evaluation.recipes import Trial

__all__ = ["fit_view", "policy_view"]

_SHOWN = 6
_GAIN = "over the strict chord, on unseen rows"


def fit_view(fit: Fit) -> RenderableType:
    """Return the policy, and what it was chosen from."""
    return Group(*(_trials(trials) for trials in fit.trials), "", policy_view(fit.policy))


def policy_view(policy: Policy) -> RenderableType:
    """Return what a policy decides by, tier by tier, and what it promises."""
    table = plain_table("tier", "decides by", "accepts from", "accepted", "loss", right=("accepted", "loss"))
    for number, tier in enumerate(policy.tiers):
        members = one_line(" + ".join(tier.members), 60)
        table.add_row(Text(members), Text(_decider(tier)), Text(_thresholds(tier)), *_expected(tier))
        if number == len(policy.tiers) - 1:
            table.add_row(Text(one_line(policy.target, 60)), Text("answers the rest"), "", "", "")
    return Group(table, *_lines(policy))


def _decider(tier: TierPolicy) -> str:
    if tier.model is None:
        return one_line(f"{tier.signal}, {tier.selection} answer, compared by {_similarity(tier)}", 100)
    if not tier.model.features:
        return "nothing: the same for every query"
    return f"predicted quality, from {len(tier.model.features)} features"


def _similarity(tier: TierPolicy) -> str:
    return tier.similarity if isinstance(tier.similarity, str) else str(tier.similarity.get("name", "?"))


def _thresholds(tier: TierPolicy) -> str:
    def said(threshold: float | None) -> str:
        return "never" if threshold is None else f"{threshold:.3f}"

    parts = [f"{_where(one)}: {said(one.threshold)}" for one in tier.bins]
    return one_line("; ".join([*parts, said(tier.threshold)]), 100)


def _where(one: Bin) -> str:
    length = "" if one.up_to is None else f" up to {one.up_to} characters"
    return f"{one.kind or 'any kind'}{length}"


def _expected(tier: TierPolicy) -> Iterator[str]:
    reference = tier.reference
    yield "" if reference is None else f"{reference.acceptance_rate:.0%}"
    yield "" if reference is None or reference.loss is None else f"{reference.loss:+.4f}"


def _lines(policy: Policy) -> Iterator[Text]:
    for tier in policy.tiers:
        if tier.certificate is not None:
            style = "green" if tier.certificate.certified else "yellow"
            yield Text(one_line(str(tier.certificate), 400), style=style)
        for note in tier.notes:
            yield Text(one_line(note, 300), style="dim")
    if policy.router is not None:
        yield Text(_router(policy, policy.router), style="green")
    if policy.data is not None:
        fitted = f"{policy.data.rows} rows ({policy.data.quality}), data {policy.data.digest[:12]}"
        library = f", semcascade {policy.library}" if policy.library else ""
        yield Text(one_line(f"policy {policy.digest}: fitted to {fitted}{library}", 200), style="dim")
    for note in policy.notes:
        if policy.router is None or not note.startswith("router:"):  # it has a line of its own
            yield Text(one_line(note, 300), style="dim")


def _router(policy: Policy, router: RouterPolicy) -> str:
    """Say where queries start, and what that is worth."""
    names = [*(" + ".join(tier.members) for tier in policy.tiers), policy.target]
    starts = ", ".join(
        f"{share:.0%} at {one_line(name, 40)}" for share, name in zip(router.starts, names, strict=False)
    )
    said = f"router: queries start {starts}" if starts else "router: it says where queries start"
    if router.saves is not None:
        said += f"; saves {router.saves:.3f} of the target's cost a query"
        said += "" if router.error is None else f" (± {router.error:.3f})"
        said += "" if router.gains is None else f", quality {router.gains:+.4f}"
    return one_line(said, 400)


def _trials(trials: tuple[Trial, ...]) -> RenderableType:
    table = plain_table("tried", _GAIN, right=(_GAIN,))
    others = sorted(trials[1:], key=lambda one: -one.gain)[: _SHOWN - 1]
    for trial in (trials[0], *others):
        taken = trial is trials[0]
        name = Text(f"{'●' if taken else ' '} {one_line(trial.recipe.name, 60)}", style="bold" if taken else "")
        error = "" if trial.error is None else f" ± {trial.error:.4f}"
        table.add_row(name, f"{trial.gain:+.4f}{error}")
    return table
