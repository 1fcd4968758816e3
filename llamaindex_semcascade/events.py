"""The decision as an event of LlamaIndex's instrumentation, for tracers and handlers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher
from pydantic import field_serializer

from semcascade.decision import Decision, Result
from semcascade.errors import CascadeError

__all__ = ["DecisionEvent", "reported", "reporting_failure"]

_dispatcher = get_dispatcher(__name__)


class DecisionEvent(BaseEvent):
    """Tells how one query was decided; sent once a query, also when no path led to an answer.

    A handler that is added to LlamaIndex's dispatcher sees the decisions of every query, wherever in an application
    it was asked. Dumped, the decision is plain data.

    Attributes:
        decision: The frozen record of the query.
    """

    decision: Decision

    @classmethod
    def class_name(cls) -> str:
        """Return the name that the event goes by in traces."""
        return "SemCascadeDecisionEvent"

    @field_serializer("decision")
    def _plain(self, decision: Decision) -> dict[str, Any]:
        return decision.to_dict()


def reported(result: Result, span: str | None) -> Result:
    """Tell how a query was decided, and return its result."""
    _dispatcher.event(DecisionEvent(decision=result.decision, span_id=span))
    return result


@contextmanager
def reporting_failure(span: str | None) -> Iterator[None]:
    """Tell what a query that failed has cost, too."""
    try:
        yield
    except CascadeError as error:
        if isinstance(error.decision, Decision):
            _dispatcher.event(DecisionEvent(decision=error.decision, span_id=span))
        raise
