"""Signals: how reliable answers are, by how alike they are."""

from semcascade.signals.agreement import centrality
from semcascade.signals.base import Evidence, Score, Signal
from semcascade.signals.catalog import get_signal, register_signal, signals
from semcascade.signals.clusters import cluster_sizes, complete_link, greedy

__all__ = [
    "Evidence",
    "Score",
    "Signal",
    "centrality",
    "cluster_sizes",
    "complete_link",
    "get_signal",
    "greedy",
    "register_signal",
    "signals",
]
