"""How `semcascade doctor` looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from semcascade.cli.tables import plain_table, problems, whereabouts
from semcascade.decision import money, one_line

__all__ = ["doctor_view"]

_YES, _NO = Text("✓", style="green"), Text("✗", style="red")


def doctor_view(report: dict[str, Any]) -> RenderableType:
    """Return the findings of `semcascade doctor` as tables and a verdict."""
    return Group(
        Text(f"semcascade {report['semcascade']} · Python {report['python']} · {report['platform']}", style="bold"),
        *_section(_packages(report)),
        *_section(_keys(report)),
        *_section(_models(report)),
        *_section(_members(report)),
        "",
        _verdict(report),
    )


def _section(parts: Iterator[RenderableType]) -> Iterator[RenderableType]:
    yield ""
    yield from parts


def _packages(report: dict[str, Any]) -> Iterator[RenderableType]:
    table = plain_table("  extra", "packages", "")
    extras = dict.fromkeys(package["extra"] for package in report["packages"])
    for extra in extras:
        packages = [package for package in report["packages"] if package["extra"] == extra]
        complete = all(package["version"] for package in packages)
        names = ", ".join(f"{package['name']} {package['version'] or '(missing)'}" for package in packages)
        remedy = "" if complete else f"pip install 'semcascade[{extra}]'" if extra else "pip install semcascade"
        table.add_row(Text.assemble(_mark(complete), f" {extra or 'base'}"), Text(names), Text(remedy, style="dim"))
    yield table


def _keys(report: dict[str, Any]) -> Iterator[RenderableType]:
    table = plain_table("  key", "wanted by")
    for key in report["keys"]:
        if key["present"] or key["wanted_by"]:
            wanted = one_line(", ".join(key["wanted_by"]), 200)
            table.add_row(Text.assemble(_mark(key["present"]), f" {one_line(key['name'], 80)}"), Text(wanted))
    if table.row_count:
        yield table
    absent = [key["name"] for key in report["keys"] if not key["present"] and not key["wanted_by"]]
    yield Text(f"not set: {', '.join(absent)}", style="dim")


def _models(report: dict[str, Any]) -> Iterator[RenderableType]:
    table = plain_table("  offline model", "weights")
    for model in report["models"]:
        table.add_row(Text.assemble(_mark(model["present"]), f" {model['name']}"), whereabouts(model))
    yield table
    yield from problems(report["models"])


def _members(report: dict[str, Any]) -> Iterator[RenderableType]:
    if not report["configured"]:
        yield Text("no members: give -c FILE, --preset NAME, or --ensemble and --target to check some", style="dim")
        return
    numbers = ("cost", "time") if report["asked"] else ()
    table = plain_table("  tier", "member", "found", *numbers, right=numbers)
    for member in report["members"]:
        row = [
            Text.assemble(_mark(member["problem"] is None), f" {one_line(member['tier'], 30)}"),
            Text(one_line(member["name"], 60)),
            _found(member),
        ]
        if report["asked"]:
            row += _figures(member)
        table.add_row(*row)
    yield table
    if not report["asked"]:
        yield Text("nobody was asked, which costs a little: --ask does", style="dim")


def _found(member: dict[str, Any]) -> Text:
    if member["problem"] is not None:
        return Text(one_line(member["problem"], 300), style="red")
    if not member["asked"]:
        return Text("nothing is known to be missing")
    return Text(f"answers: {one_line(member['answer'] or '(nothing)', 60)}")


def _figures(member: dict[str, Any]) -> list[Text]:
    if member["latency_s"] is None:
        return [Text("–", style="dim"), Text("–", style="dim")]
    return [Text("unknown" if member["cost"] is None else money(member["cost"])), Text(f"{member['latency_s']:.2f} s")]


def _verdict(report: dict[str, Any]) -> Text:
    if not report["ok"]:
        return Text(f"missing or not working: {one_line(', '.join(report['missing']), 400)}", style="bold red")
    return Text("all fine" if report["configured"] else "nothing that is always needed is missing", style="green")


def _mark(good: bool) -> Text:
    return _YES if good else _NO
