"""What commands that replay recorded answers share: who stands in which tier, what is scored, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from semcascade.cli import terminal
from semcascade.cli.settings import router_of

if TYPE_CHECKING:
    from semcascade.evaluation import Row

__all__ = ["FORMS", "RowFile", "cascade_of", "replay_options", "tell_skipped"]

F = TypeVar("F", bound=Callable[..., Any])

FORMS = """Each line of DATA is one question: {"id", "input", "outputs": {system: text}, "scores": {system: 0..1}};
so is each record of a Parquet file. Or DATA is a run: then its own members are replayed, unless others are named."""

_OPTIONS = (
    click.option("--ensemble", metavar="A,B,...", help="Systems of the ensemble; the first is the primary."),
    click.option("--target", metavar="T", help="System that answers what the ensemble cannot."),
    click.option("--tier", "tiers", multiple=True, metavar="A,B,...",
                 help="Instead of the two above: the systems of each tier, once a tier; the last is the target."),
    click.option("--similarity", metavar="NAME", help="How answers are compared.  [default: auto]"),
    click.option("--signal", metavar="NAME", help="What is scored.  [default: agreement]"),
    click.option("--selection", metavar="WAY", help="Which answer would be returned.  [default: auto]"),
    click.option("--threshold", type=click.FloatRange(0, 1), help="Least score that is accepted.  [default: 0.6]"),
    click.option("--policy", type=click.Path(path_type=Path), metavar="P",
                 help="A fitted policy decides, by its own signal and thresholds; its members stand for themselves."),
    click.option("--router", callback=router_of, metavar="C",
                 help="Complexity, 0 to 1, from which on queries go straight to the target; off: nor by a policy."),
    click.option("--member-cost", type=click.FloatRange(min=0), multiple=True, default=(0.05,), show_default="0.05",
                 help="Price of a member where none was recorded; once, or once for each tier before the target."),
    click.option("--target-cost", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True,
                 help="Price of the target where none was recorded."),
)  # fmt: skip


def replay_options(command: F) -> F:
    """Give a command the options that say which cascade is replayed, and at what prices."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cascade_of(
    path: Path,
    *,
    ensemble: str | None,
    target: str | None,
    tiers: tuple[str, ...],
    policy: Path | None,
    **settings: Any,
) -> dict[str, Any]:
    """Return the settings of the cascade to replay: of the named systems, else the policy's, else the run's own.

    Raises:
        click.UsageError: If none are named, and the file does not say whose answers it holds.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if policy is not None:
        given["policy"] = str(policy)
    if tiers:
        if ensemble or target:
            raise click.UsageError("--tier stands instead of --ensemble and --target; give one or the other")
        if len(tiers) < 2:
            raise click.UsageError("--tier is given once for each tier, the last for the target: give two or more")
        return given | {"tiers": [{"members": _split(tier)} for tier in tiers]}
    if ensemble and target:
        return given | {"ensemble": _split(ensemble), "target": target.strip()}
    if ensemble or target:
        lacking = "--target" if ensemble else "--ensemble"
        raise click.UsageError(f"{lacking} is missing: name both, or the tiers by --tier")
    return given | {"tiers": _recorded(path) if policy is None else _fitted(policy)}


def _fitted(path: Path) -> list[dict[str, Any]]:
    """Return the tiers that a policy was fitted for; a name that stands there n times gave n samples."""
    from semcascade.engine.policies import load_policy

    policy = load_policy(path)
    tiers = [
        [{"model": name, "samples": count} for name, count in Counter(tier.members).items()] for tier in policy.tiers
    ]
    return [{"members": members} for members in [*tiers, [policy.target]]]


def _recorded(path: Path) -> list[dict[str, Any]]:
    from semcascade.run_form import read_header

    header = read_header(path)
    if header is None:
        raise click.UsageError(f"{path.name} does not say who is the target: give --ensemble and --target, or --tier")
    kept = ("model", "samples", "priority")
    members = {
        name: {"name": name, "model": name} | {key: said[key] for key in kept if key in said}
        for name, said in header.members.items()
    }
    return [{"members": [members.get(name, name) for name in tier]} for tier in header.tiers]


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


class RowFile:
    """The rows of a file, which can be gone through more than once without being held in memory.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Row]:
        from semcascade.evaluation import read_rows

        return read_rows(self._path)


def tell_skipped(path: Path) -> Callable[[str], None]:
    """Return a function that tells, on standard error, what of a file was left out."""
    return lambda what: terminal.note(f"{path.name}: {what}")
