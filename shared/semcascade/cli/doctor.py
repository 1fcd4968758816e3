"""`semcascade doctor`: what is installed, which keys are there, which member answers."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from semcascade import __version__
from semcascade.cli import terminal
from semcascade.cli.checks import (
    MemberFinding,
    ask_member,
    check_member,
    find_keys,
    find_packages,
    members_of,
    missing_packages,
)
from semcascade.cli.failures import FAILED
from semcascade.cli.models import model_data
from semcascade.cli.secrecy import Secrecy
from semcascade.cli.settings import cascade_options, find_config

if TYPE_CHECKING:
    from semcascade.config import CascadeConfig

__all__ = ["doctor"]


@click.command()
@cascade_options
@click.option("--ask", "really", is_flag=True, help="Ask each member a tiny question; this costs a little.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(context: click.Context, /, really: bool, as_json: bool, **options: Any) -> None:
    """Say what is installed, which keys are present, and which members can answer.

    Ends with 0 if all is fine, and with 1 if something that the configuration needs is missing. Of keys, only the
    names of environment variables are shown.
    """
    config = find_config(**options)
    if config is not None:
        context.ensure_object(Secrecy).learn(config)
    report = _examine(config, really=really)
    if as_json:
        terminal.write_json(report)
    else:
        from semcascade.cli.doctor_view import doctor_view

        terminal.result_console().print(doctor_view(report))
    if not report["ok"]:
        context.exit(FAILED)


def _examine(config: CascadeConfig | None, *, really: bool) -> dict[str, Any]:
    """Return all findings as plain data."""
    packages = find_packages()
    missing = [f"the package {name}" for name in missing_packages(config, packages)]
    members = _members(config, really=really) if config else []
    missing += [f"the member {finding.name} ({finding.tier})" for finding in members if finding.problem]
    return {
        "ok": not missing,
        "semcascade": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": [asdict(package) for package in packages],
        "keys": [asdict(key) for key in find_keys(config)],
        "models": _models(),
        "members": [asdict(finding) for finding in members],
        "configured": config is not None,
        "asked": really,
        "missing": missing,
    }


def _members(config: CascadeConfig, *, really: bool) -> list[MemberFinding]:
    findings = []
    for tier, member in members_of(config):
        with terminal.waiting(f"checking {member.name}"):
            finding = check_member(tier, member)
        if really and not finding.problem:
            with terminal.waiting(f"asking {member.name}"):
                finding = ask_member(tier, member, config)
        findings.append(finding)
    return findings


def _models() -> list[dict[str, Any]]:
    from semcascade.transport.local.fetch import models

    return [model_data(info) for info in models()]
