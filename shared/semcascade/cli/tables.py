"""How decisions and findings look: rich tables, every untrusted text flattened to harmless plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from semcascade.decision import Decision, TierRecord, money, one_line
from semcascade.messages import Candidate

__all__ = ["decision_table", "models_table", "plain_table", "problems", "whereabouts"]

_LONGEST_CELL = 100
_MUCH, _SOME = 0.75, 0.4
"""Agreement from which a number is shown green, and yellow."""


def plain_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table in the one style of this command line; columns named in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold", border_style="dim", padding=(0, 1, 0, 0))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, no_wrap=column in right, overflow="fold")
    return table


def decision_table(decision: Decision) -> RenderableType:
    """Return who said what, how far they agreed, what was decided, and what it cost."""
    numbers = ("agreement", "cost", "time")
    table = plain_table("tier", "", "member", "said", *numbers, right=numbers)
    for tier in decision.tiers:
        for index, (candidate, agreement) in enumerate(tier.rows()):
            chosen = tier.name == decision.tier and index == tier.chosen
            name = Text("" if index else one_line(tier.name, 30), style="dim")
            table.add_row(name, *_row(candidate, agreement, chosen=chosen))
    return Group("", table, "", *_summary(decision))


def _row(candidate: Candidate, agreement: float | None, *, chosen: bool) -> Iterator[Text]:
    name = one_line(candidate.member, 60)
    yield Text("●" if chosen else " ", style="green")
    yield Text(name, style="bold" if chosen else "")
    yield _said(candidate)
    yield _graded(agreement)
    yield Text("unknown" if candidate.cost is None else money(candidate.cost))
    yield Text(f"{candidate.latency_s:.2f} s")


def _said(candidate: Candidate) -> Text:
    if candidate.failure is not None:
        why = str(candidate.failure).removeprefix(f"{candidate.member}: ")
        return Text(one_line(f"✗ {why}", _LONGEST_CELL), style="red")
    if candidate.tool_calls and not candidate.text:
        calls = ", ".join(f"{call.name}({call.arguments})" for call in candidate.tool_calls)
        return Text(one_line(calls, _LONGEST_CELL), style="cyan")
    if not candidate.text.strip():
        return Text("(nothing)", style="dim")
    return Text(one_line(candidate.text, _LONGEST_CELL))


def _graded(agreement: float | None) -> Text:
    if agreement is None:
        return Text("–", style="dim")
    return Text(f"{agreement:.2f}", style="green" if agreement >= _MUCH else "yellow" if agreement >= _SOME else "red")


def _summary(decision: Decision) -> Iterator[Text]:
    verdict, style = _verdict(decision)
    reason = one_line(decision.reason, 300)
    rest = reason.removeprefix(verdict) if reason.startswith(verdict) else f": {reason}"
    yield Text.assemble((verdict, style), rest)
    for tier in decision.tiers:
        if tier.signal is not None:
            yield Text(one_line(f"{tier.name}: {_scores(tier)}", 300), style="dim")
        for note in tier.notes:
            yield Text(one_line(f"{tier.name}: {note}", 300), style="dim")
    if decision.route is not None and decision.route.reason not in decision.reason:
        yield Text(one_line(f"router: {decision.route}", 300), style="dim")
    for note in decision.notes:
        yield Text(one_line(note, 300), style="dim")
    yield Text(_costs(decision), style="dim")


def _verdict(decision: Decision) -> tuple[str, str]:
    if not decision.member:
        return "no answer", "bold red"
    if decision.fallback:
        return "fallback", "bold red"
    if decision.accepted:
        return "accepted", "bold green"
    return ("deferred", "bold yellow") if len(decision.tiers) > 1 else ("answered", "bold")


def _scores(tier: TierRecord) -> str:
    parts = [
        f"{tier.signal} {_number(tier.score)}, threshold {_number(tier.threshold)}",
        f"semantic entropy {_number(tier.entropy)} nats",
        f"compared by {tier.similarity}" if tier.similarity else "",
    ]
    return " · ".join(filter(None, parts))


def _costs(decision: Decision) -> str:
    spent, alone = decision.cost, decision.always_target_cost
    text = f"total {money(spent)} in {decision.latency_s:.2f} s · the target alone: {money(alone)}"
    if spent is None or not alone:
        return text
    saved = 1 - spent / alone
    return f"{text} · {'saved' if saved >= 0 else 'lost'} {abs(saved):.0%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def models_table(models: Sequence[Mapping[str, Any]], directory: Path) -> RenderableType:
    """Return the offline models with their terms, and which are on this machine."""
    table = plain_table("", "name", "model", "size", "licence", "weights", right=("size",))
    for model in models:
        table.add_row(
            Text("✓", style="green") if model["present"] else Text("✗", style="red" if model["problem"] else "dim"),
            Text(model["name"], style="bold"),
            Text(model["title"]),
            Text(f"{model['size'] / 1e6:.0f} MB"),
            Text(model["licence"]),
            whereabouts(model),
        )
    terms = {model["licence"]: model["licence_url"] for model in models}
    return Group(
        table,
        *problems(models),
        "",
        *(Text(f"{licence}: {url}", style="dim") for licence, url in terms.items()),
        Text(f"weights are kept in {directory}", style="dim"),
    )


def whereabouts(model: Mapping[str, Any]) -> Text:
    """Return whether an offline model's weights are on this machine."""
    if model["problem"]:
        return Text("not usable, see below", style="red")
    return Text("here") if model["present"] else Text(f"not here, {model['download_size'] / 1e6:.0f} MB to fetch")


def problems(models: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """Yield what is wrong with weights that are on this machine."""
    for model in models:
        if model["problem"]:
            yield Text(one_line(model["problem"], 400), style="red")
