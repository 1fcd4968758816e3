"""Signals by name."""

from __future__ import annotations

from semcascade.registry import Registry
from semcascade.signals.base import Signal

__all__ = ["get_signal", "register_signal", "signals"]

_AGREEMENT, _ENTROPY, _GRAPH = (f"semcascade.signals.{module}" for module in ("agreement", "entropy", "graph"))

_SIGNALS: Registry[Signal] = Registry(
    "signal",
    {
        "agreement": f"{_AGREEMENT}:AGREEMENT",
        "agreement_mean": f"{_AGREEMENT}:AGREEMENT_MEAN",
        "agreement_primary": f"{_AGREEMENT}:AGREEMENT_PRIMARY",
        "majority": f"{_AGREEMENT}:MAJORITY",
        "num_sets": f"{_AGREEMENT}:NUM_SETS",
        "semantic_entropy": f"{_ENTROPY}:SEMANTIC_ENTROPY",
        "semantic_entropy_weighted": f"{_ENTROPY}:SEMANTIC_ENTROPY_WEIGHTED",
        "semantic_entropy_corrected": f"{_ENTROPY}:SEMANTIC_ENTROPY_CORRECTED",
        "snne": f"{_ENTROPY}:SNNE",
        "snne_weighted": f"{_ENTROPY}:SNNE_WEIGHTED",
        "eigv": f"{_GRAPH}:EIGV",
        "deg": f"{_GRAPH}:DEG",
        "ecc": f"{_GRAPH}:ECC",
    },
    group="semcascade.signals",
)


def get_signal(name: str) -> Signal:
    """Return the signal of this name.

    Raises:
        ConfigError: If there is none; its field is "signal".

    >>> get_signal("agreement").higher_is_better
    True
    """
    return _SIGNALS.get(name)


def signals() -> dict[str, Signal]:
    """Return every known signal by its name."""
    return {name: _SIGNALS.get(name) for name in _SIGNALS.names()}


def register_signal(signal: Signal) -> None:
    """Make a signal known under its own name in this process.

    A package announces one to every process by an entry point of the group `semcascade.signals` instead.

    Raises:
        ConfigError: If the name stands for another signal already.
    """
    _SIGNALS.register(signal.name, signal)
