"""Semantic agreement cascades: ask cheap models, trust their consensus, defer to a large model when they scatter.

The names below are imported when first used, so that `import semcascade` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semcascade.config import CascadeConfig, Member, Tier, load_config
    from semcascade.decision import Decision, Result, TierRecord
    from semcascade.decision_log import DecisionLog
    from semcascade.deferral.policy import Policy
    from semcascade.engine.audit import Audit, MemberSpend
    from semcascade.engine.cascade import Cascade
    from semcascade.engine.ledger import Ledger, LedgerSummary
    from semcascade.engine.policies import load_policy, save_policy
    from semcascade.errors import (
        BudgetExceededError,
        CascadeError,
        ConfigError,
        DeadlineExceededError,
        InputError,
        LocalModelError,
        MemberError,
        MissingDependencyError,
        SemcascadeError,
    )
    from semcascade.messages import Candidate, Request, ToolCall, Usage
    from semcascade.transport.base import Delta, Transport
    from semcascade.transport.recorded import RecordedTransport
    from semcascade.transport.scripted import ScriptedTransport

__version__ = "0.1.0"

_HOMES = {
    "config": ("CascadeConfig", "Member", "Tier", "load_config"),
    "decision": ("Decision", "Result", "TierRecord"),
    "deferral.policy": ("Policy",),
    "decision_log": ("DecisionLog",),
    "engine.audit": ("Audit", "MemberSpend"),
    "engine.cascade": ("Cascade",),
    "engine.ledger": ("Ledger", "LedgerSummary"),
    "engine.policies": ("load_policy", "save_policy"),
    "errors": (
        "BudgetExceededError", "CascadeError", "ConfigError", "DeadlineExceededError", "InputError", "LocalModelError",
        "MemberError", "MissingDependencyError", "SemcascadeError",
    ),
    "messages": ("Candidate", "Request", "ToolCall", "Usage"),
    "transport.base": ("Delta", "Transport"),
    "transport.recorded": ("RecordedTransport",),
    "transport.scripted": ("ScriptedTransport",),
}  # fmt: skip

_HOME_OF = {name: f"semcascade.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "Audit",
    "BudgetExceededError",
    "Candidate",
    "Cascade",
    "CascadeConfig",
    "CascadeError",
    "ConfigError",
    "DeadlineExceededError",
    "Decision",
    "DecisionLog",
    "Delta",
    "InputError",
    "Ledger",
    "LedgerSummary",
    "LocalModelError",
    "Member",
    "MemberError",
    "MemberSpend",
    "MissingDependencyError",
    "Policy",
    "RecordedTransport",
    "Request",
    "Result",
    "ScriptedTransport",
    "SemcascadeError",
    "Tier",
    "TierRecord",
    "ToolCall",
    "Transport",
    "Usage",
    "load_config",
    "load_policy",
    "save_policy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
