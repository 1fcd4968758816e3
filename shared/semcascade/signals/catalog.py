"""Signals by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from semcascade.errors import ConfigError
from semcascade.registry import Registry
from semcascade.signals.base import Evidence, FloatArray, Signal

__all__ = ["SignalFunction", "comes_along", "get_signal", "register_signal", "signals"]

SignalFunction: TypeAlias = Callable[[FloatArray], float | None]
"""n×n matrix of similarities → reliability in [0, 1], higher = more reliable; None where undefined."""

_AGREEMENT, _ENTROPY, _GRAPH, _CONFIDENCE, _SELFCHECK, _COMBINED = (
    f"semcascade.signals.{module}"
    for module in ("agreement", "entropy", "graph", "confidence", "selfcheck", "combined")
)

_SIGNALS: Registry[Signal | SignalFunction] = Registry(
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
        "kle": f"{_GRAPH}:KLE",
        "chow_sum": f"{_CONFIDENCE}:CHOW_SUM",
        "chow_average": f"{_CONFIDENCE}:CHOW_AVERAGE",
        "chow_minimum": f"{_CONFIDENCE}:CHOW_MINIMUM",
        "chow_quantile": f"{_CONFIDENCE}:CHOW_QUANTILE",
        "cocoa": f"{_CONFIDENCE}:COCOA",
        "cocoa_average": f"{_CONFIDENCE}:COCOA_AVERAGE",
        "selfcheck_ngram": f"{_SELFCHECK}:SELFCHECK_NGRAM",
        "selfcheck_ngram_mean": f"{_SELFCHECK}:SELFCHECK_NGRAM_MEAN",
        "selfcheck_nli": f"{_SELFCHECK}:SELFCHECK_NLI",
        "selfcheck_prompt": f"{_SELFCHECK}:SELFCHECK_PROMPT",
        "combined": f"{_COMBINED}:COMBINED",
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
    return _as_signal(name, _SIGNALS.get(name))


def signals() -> dict[str, Signal]:
    """Return every known signal by its name."""
    return {name: get_signal(name) for name in _SIGNALS.names()}


def comes_along(name: str) -> bool:
    """Say whether the signal of this name is the library's own."""
    return _SIGNALS.comes_along(name)


def register_signal(signal: Signal | SignalFunction, name: str | None = None) -> None:
    """Make a signal known in this process.

    A package announces one to every process by an entry point of the group `semcascade.signals` instead.

    Args:
        signal: A signal, or a plain function from the n×n matrix of similarities to a reliability in [0, 1].
        name: The name to choose it by; the signal's or the function's own unless given.

    Raises:
        ConfigError: If the name stands for another signal already, or this is neither.
    """
    if not isinstance(signal, Signal) and not callable(signal):
        raise ConfigError(f"expected a Signal or a function, got {type(signal).__name__}", field="signal")
    own = signal.name if isinstance(signal, Signal) else getattr(signal, "__name__", "")
    _SIGNALS.register(own if name is None else name, signal)


def _as_signal(name: str, found: Signal | SignalFunction) -> Signal:
    """Make a plain function a signal of two and more answers."""
    if isinstance(found, Signal):
        return found

    def compute(evidence: Evidence) -> float | None:
        value = found(evidence.matrix)
        if value is None:
            return None
        if not 0 <= value <= 1:
            raise ConfigError(f"signal {name!r} must return a reliability from 0 to 1, got {value}", field="signal")
        return float(value)

    return Signal(
        name=name,
        compute=compute,
        rescale=lambda value, _: value,
        higher_is_better=True,
        min_answers=2,
        summary=(found.__doc__ or "A function of the similarities.").strip().partition("\n")[0],
        span="0 to 1",
        few="n = 1: undefined",
    )
