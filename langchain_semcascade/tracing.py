"""What handlers and tracers hear of a call beside its one run: each request to a member, and the decision."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.tracers.base import BaseTracer

from semcascade.config import Member
from semcascade.decision import Decision
from semcascade.engine.watching import Ended, Watcher
from semcascade.errors import CascadeError
from semcascade.messages import Candidate, Request

__all__ = ["DECISION_EVENT", "atelling_failures", "atold", "member_runs", "telling_failures", "told"]

DECISION_EVENT = "semcascade_decision"
"""Name of the event by which handlers hear of a decision, in `on_custom_event`; its data are the decision's."""


def member_runs(run: BaseRunManager | None) -> Watcher | None:
    """Return a watcher that shows each request to a member as a child run, to tracers alone.

    The runs are of the type "chain": of the type "llm" their tokens would be counted beside those of the outer run,
    and handlers of streams would show text that is rejected.
    """
    tracers = [handler for handler in run.handlers if _traces(handler)] if run else []
    if run is None or not tracers:
        return None
    manager = CallbackManager(
        tracers,
        parent_run_id=run.run_id,
        tags=[*run.inheritable_tags],
        metadata={**run.inheritable_metadata},
    )

    def asked(member: Member, request: Request) -> Ended:
        inputs = {"model": member.model, "parameters": _shown(member, request)}
        child = manager.on_chain_start({}, inputs, name=member.name)

        def ended(outcome: Sequence[Candidate] | BaseException) -> None:
            if isinstance(outcome, BaseException):
                child.on_chain_error(outcome)
            else:
                child.on_chain_end({"answers": [_answer(answer) for answer in outcome]})

        return ended

    return asked


def _traces(handler: Any) -> bool:
    """Whether a handler builds trees of runs, and does not show tokens as they come."""
    return isinstance(handler, BaseTracer) and not hasattr(handler, "tap_output_iter")


def _shown(member: Member, request: Request) -> dict[str, Any]:
    """Return the request's parameters; the member's own may hold secrets, and the messages are the outer run's."""
    secret_free = member.to_dict().get("params", {})
    return {**secret_free, **{key: value for key, value in request.params.items() if value is not None}}


def _answer(answer: Candidate) -> dict[str, Any]:
    told: dict[str, Any] = {"text": answer.text, "finish_reason": answer.finish_reason, "cost": answer.cost}
    if answer.tool_calls:
        told["tool_calls"] = [{"name": call.name, "arguments": call.arguments} for call in answer.tool_calls]
    if answer.usage is not None:
        told |= {"input_tokens": answer.usage.input_tokens, "output_tokens": answer.usage.output_tokens}
    return told


# --- the decision


def told(run: CallbackManagerForLLMRun | None, decision: Decision) -> None:
    """Tell the run's handlers of a decision."""
    if run is not None and run.handlers:
        CallbackManager(run.handlers, **_whose(run)).on_custom_event(DECISION_EVENT, decision.to_dict(), run.run_id)


async def atold(run: AsyncCallbackManagerForLLMRun | None, decision: Decision) -> None:
    """Tell the run's handlers of a decision, asynchronously."""
    if run is not None and run.handlers:
        manager = AsyncCallbackManager(run.handlers, **_whose(run))
        await manager.on_custom_event(DECISION_EVENT, decision.to_dict(), run.run_id)


def _whose(run: BaseRunManager) -> Mapping[str, Any]:
    return {"parent_run_id": run.parent_run_id, "tags": [*run.tags], "metadata": {**run.metadata}}


@contextmanager
def telling_failures(run: CallbackManagerForLLMRun | None) -> Iterator[None]:
    """Tell the run's handlers also of a decision that led to no answer."""
    try:
        yield
    except CascadeError as error:
        if isinstance(error.decision, Decision):
            told(run, error.decision)
        raise


@asynccontextmanager
async def atelling_failures(run: AsyncCallbackManagerForLLMRun | None) -> AsyncIterator[None]:
    """Tell the run's handlers also of a decision that led to no answer, asynchronously."""
    try:
        yield
    except CascadeError as error:
        if isinstance(error.decision, Decision):
            await atold(run, error.decision)
        raise
