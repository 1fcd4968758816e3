"""Signals: how reliable answers are, by how alike they are."""

from semcascade.clusters import cluster_sizes, complete_link, greedy
from semcascade.signals.agreement import centrality
from semcascade.signals.base import NEEDS, Evidence, Score, Signal
from semcascade.signals.catalog import get_signal, register_signal, signals
from semcascade.signals.confidence import chow_quantile

__all__ = [
    "NEEDS",
    "Evidence",
    "Score",
    "Signal",
    "centrality",
    "chow_quantile",
    "cluster_sizes",
    "complete_link",
    "get_signal",
    "greedy",
    "register_signal",
    "signals",
]
