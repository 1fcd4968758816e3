"""Deferral: when a tier's answers are accepted, and which of them is returned."""

from semcascade.deferral.rules import EscalationRate, Rule, Threshold, Verdict, rule_for
from semcascade.deferral.selection import Choice, choose, effective_signal

__all__ = ["Choice", "EscalationRate", "Rule", "Threshold", "Verdict", "choose", "effective_signal", "rule_for"]
