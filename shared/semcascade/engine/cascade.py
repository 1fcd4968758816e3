"""The cascade: one object that asks cheap members first and a large one when they scatter."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from semcascade.abilities import Ability, common
from semcascade.config import CascadeConfig, Member, load_config
from semcascade.decision import Result
from semcascade.deferral.drift import Drift, TierCounts, drift_of
from semcascade.deferral.policy import TierPolicy
from semcascade.engine.entry import entry_of
from semcascade.engine.guard import Guards
from semcascade.engine.ledger import Ledger
from semcascade.engine.log import Chronicle
from semcascade.engine.loop import EngineLoop
from semcascade.engine.policies import policy_of
from semcascade.engine.query import Plan
from semcascade.engine.routing import routed
from semcascade.engine.run import QueryRun
from semcascade.engine.scoring import TierScorer
from semcascade.engine.sticky import Conversations
from semcascade.engine.transports import Transports
from semcascade.engine.watching import watched
from semcascade.errors import ConfigError, InputError, SemcascadeError
from semcascade.member import unsendable
from semcascade.memory import Memory
from semcascade.messages import Conversation, Prompt, Request, as_conversation
from semcascade.transport.base import Delta, Transport

__all__ = ["Cascade"]

_NOT_PER_CALL = frozenset(
    {"api_base", "api_key", "base_url", "max_retries", "messages", "model", "n", "num_retries", "stream",
     "stream_options", "timeout"}
)  # fmt: skip
"""Options that would reach a provider behind the engine's back."""


class Cascade:
    """Asks an ensemble of cheap members, returns their consensus, or defers to a target.

    Works alike from synchronous code, inside a running event loop (Jupyter), and from many threads.

    Args:
        config: A configuration or a mapping of settings; keyword settings win over it.
        transport: Serves every member that names no transport; LiteLLM unless given.
        transports: Further transports, by the names that members call them.
        memory: Where to look up what was compared before; evaluations give one.
        **settings: Settings of `CascadeConfig`: `ensemble`, `target`, `tiers`, `threshold`, `escalation_rate`,
            `similarity`, `signal`, `selection`, `timeout`, `deadline`, `max_retries`, `on_target_failure`,
            `policy`, `router`, `log`, `unsupported`, `budget`, `on_budget`, `breaker`, `fallback`, `sticky`,
            `early_exit`, `speculate`, `drop_slow`, `hedge_after`.

    Raises:
        ConfigError: If a setting is wrong; its `field` names it.

    >>> from semcascade import ScriptedTransport
    >>> transport = ScriptedTransport({"a": "4", "b": "four", "c": "5", "big": "4"})
    >>> with Cascade(ensemble=["a", "b", "c"], target="big", threshold=0.5, transport=transport) as cascade:
    ...     result = cascade.complete("What is 2 + 2?")
    >>> result.text, result.decision.accepted, result.decision.score
    ('4', True, 0.5)
    """

    def __init__(
        self,
        config: Mapping[str, Any] | CascadeConfig | None = None,
        /,
        *,
        transport: Transport | None = None,
        transports: Mapping[str, Transport] | None = None,
        memory: Memory | None = None,
        **settings: Any,
    ) -> None:
        self.config = CascadeConfig.build(config, **settings)
        self.policy = policy_of(self.config)
        self.ledger = Ledger()
        self._conversations = Conversations()
        self._transports = Transports(transport, transports)
        fitted: Sequence[TierPolicy | None] = self.policy.tiers if self.policy else [None] * len(self.config.tiers)
        scorers = tuple(
            TierScorer(tier, self.config, part, memory)
            for tier, part in zip(self.config.tiers[:-1], fitted, strict=False)
        )
        guards = Guards(self.config.budget, self.config.breaker)
        self._plan = Plan(
            self.config,
            scorers,
            self._transports,
            guards,
            deadline=self.config.deadline,
            entry=entry_of(self.config, self.policy),
        )
        log = self.config.log
        self._chronicle = None if log is None else Chronicle(log, self._plan, self.ledger, self.policy)
        for member in self.members():
            self._transports.of(member)
        cap = self.config.budget.capped("cost") if self.config.budget else None
        if cap is not None:
            self._transports.check_priced(self.members(), cap)

    @classmethod
    def from_file(cls, path: str | Path, **settings: Any) -> Self:
        """Build a cascade from a TOML or JSON file; keyword settings win over it."""
        return cls(load_config(path), **settings)

    @classmethod
    def from_preset(cls, name: str, **settings: Any) -> Self:
        """Build a cascade from a preset, e.g. `"local"`: offline models, no key, no network once fetched."""
        from semcascade.presets import preset

        return cls(preset(name), **settings)

    def complete(self, prompt: Prompt, **options: Any) -> Result:
        """Answer a prompt.

        Args:
            prompt: A text, or messages in OpenAI's shape.
            **options: `tools`, `tool_choice`, `response_format`; `member`, to ask only the member of this name or
                model id; `deadline`, seconds in which the query must be over; `conversation`, a name by which
                `sticky` knows it; `watcher`, a function that hears of each request to a member (see `Watcher`); and
                any request parameter (`temperature`, `max_tokens`, `stop`, ...).

        Raises:
            InputError: If the prompt or an option is wrong.
            MemberError: If a member is sure to fail (no key, unknown model), before anything is spent.
            CascadeError: If no path led to an answer.
        """
        return EngineLoop.shared().run(self._complete(self._query(prompt, options)))

    async def acomplete(self, prompt: Prompt, **options: Any) -> Result:
        """Answer a prompt, asynchronously; see `complete`."""
        return await EngineLoop.shared().arun(self._complete(self._query(prompt, options)))

    def stream(self, prompt: Prompt, **options: Any) -> Generator[Delta | Result, None, None]:
        """Yield the pieces of the one answer that is returned, and at last the `Result`; see `complete`."""
        return EngineLoop.shared().iterate(self._stream(self._query(prompt, options)))

    def astream(self, prompt: Prompt, **options: Any) -> AsyncGenerator[Delta | Result, None]:
        """Yield the pieces of the one answer that is returned, and at last the `Result`; see `complete`."""
        return EngineLoop.shared().aiterate(self._stream(self._query(prompt, options)))

    def warmup(self) -> None:
        """Do now what the first query would wait for: imports, and the start of local models."""
        EngineLoop.shared().run(self._prepare())

    async def awarmup(self) -> None:
        """Do now what the first query would wait for, asynchronously."""
        await EngineLoop.shared().arun(self._prepare())

    def members(self) -> tuple[Member, ...]:
        """Return every member that may be asked, those that only compare answers at the end."""
        return (*self.config.members(), *self._plan.judges)

    def drift(self, *, max_loss: float | None = None) -> Drift:
        """Say whether the queries so far, in this process, are still what the policy was fitted on.

        Args:
            max_loss: The most that may be lost per query; what the policy promises unless given.

        Raises:
            ConfigError: If no policy decides.
        """
        if self.policy is None:
            raise ConfigError("drift is told against a fitted policy; this cascade has none", field="policy")
        counts = self.ledger.tiers()
        by_tier = [counts.get(tier.name, TierCounts()) for tier in self.config.tiers[:-1]]
        return drift_of(self.policy, by_tier, self.ledger.loss(), max_loss=max_loss)

    def context_window(self) -> int | None:
        """Return the least context window of the members that may answer, or None where any is unknown."""
        windows = self.context_windows().values()
        known = [window for window in windows if window is not None]
        return min(known) if len(known) == len(windows) else None

    def context_windows(self) -> dict[str, int | None]:
        """Return each member's context window in tokens by its name, None where unknown."""
        return {member.name: self._transports.of(member).context_window(member) for member in self.config.members()}

    def abilities(self) -> dict[Ability, bool]:
        """Return what every member can do: False where one cannot, left out where one is unknown and none cannot."""
        return common(self._transports.abilities(member) for member in self.config.members())

    def check(self, **options: Any) -> None:
        """Refuse at once what any query with these options would be refused for; see `complete`.

        Raises:
            InputError: If an option is wrong, or no member can answer such a query.
        """
        options.pop("conversation", None)
        self._routed((), options)

    def close(self) -> None:
        """Let go of connections, threads and local models; write down what is still to be logged."""
        EngineLoop.shared().run(self._close())

    async def aclose(self) -> None:
        """Let go of connections, threads and local models; write down what is still to be logged."""
        await EngineLoop.shared().arun(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.config, self._transports.default, self._transports.named)

    def __repr__(self) -> str:
        tiers = " → ".join(" + ".join(member.name for member in tier.members) for tier in self.config.tiers)
        return f"Cascade({tiers})"

    def _query(self, prompt: Prompt, options: dict[str, Any]) -> QueryRun:
        messages, name = as_conversation(prompt), options.pop("conversation", None)
        plan, request, only = self._routed(messages, options)
        turn = self._conversations.turn(messages, name) if self.config.sticky and only is None else None
        return QueryRun(plan if turn is None else turn.planned(plan), request, only, turn=turn)

    def _routed(self, messages: Conversation, options: dict[str, Any]) -> tuple[Plan, Request, Member | None]:
        """Return who is asked what."""
        options = {key: value for key, value in options.items() if value is not None}
        for name in options.keys() & _NOT_PER_CALL:
            raise InputError("it cannot be given per call; give it to the member or the cascade", field=name)
        only, watcher = options.pop("member", None), options.pop("watcher", None)
        if watcher is not None and not callable(watcher):
            raise InputError(f"expected a function of member and request, got {watcher!r}", field="watcher")
        deadline = options.pop("deadline", None)
        if "tool_choice" in options and not isinstance(options["tool_choice"], str | Mapping):
            raise InputError("expected 'auto', 'none', 'required', or a tool in OpenAI's shape", field="tool_choice")
        if "response_format" in options and not isinstance(options["response_format"], Mapping):
            raise InputError(
                "expected a mapping in OpenAI's shape, e.g. {'type': 'json_object'}", field="response_format"
            )
        wrong = unsendable(options)
        if wrong is not None:
            raise InputError(wrong[1], field=wrong[0])
        request = Request(
            messages=messages,
            tools=_tools(options.pop("tools", ())),
            tool_choice=options.pop("tool_choice", None),
            response_format=options.pop("response_format", None),
            params=options,
        )
        plan, only = routed(self._plan, request, None if only is None else self.find(only))
        if watcher is not None:
            plan = dataclasses.replace(plan, transports=watched(plan.transports, watcher))
        return plan if deadline is None else _within(plan, deadline), request, only

    def find(self, name: str, *, field: str = "member") -> Member:
        """Return the first member of a name or model id.

        Args:
            name: The name or model id.
            field: What the caller calls it.

        Raises:
            InputError: If no member has it.
        """
        members = self.config.members()
        for member in members:
            if name in (member.name, member.model):
                return member
        known = ", ".join(dict.fromkeys(member.name for member in members))
        raise InputError(f"{name!r} is no member of this cascade; members are {known}", field=field)

    async def _complete(self, run: QueryRun) -> Result:
        try:
            return await run.complete()
        finally:
            self._keep(run)

    async def _stream(self, run: QueryRun) -> AsyncGenerator[Delta | Result, None]:
        try:
            async for item in run.stream():
                yield item
        finally:
            self._keep(run)

    def _keep(self, run: QueryRun) -> None:
        if run.decision is not None:
            self.ledger.add(run.decision)
            if run.turn is not None:
                run.turn.note(run.plan, run.decision)
            if self._chronicle is not None:
                self._chronicle.take(run.request, run.decision)

    async def _close(self) -> None:
        if self._chronicle is not None:
            await self._chronicle.drain()
        await self._transports.aclose()

    async def _prepare(self) -> None:
        for member in self.members():
            await asyncio.to_thread(self._transports.abilities, member)
            with suppress(SemcascadeError):  # the query will tell, member by member
                await self._transports.of(member).prepare(member)
        for scorer in self._plan.scorers:
            with suppress(SemcascadeError):
                await scorer.prepare()
        if self._plan.entry is not None:
            with suppress(SemcascadeError):  # then queries start at the first tier
                await self._plan.entry.prepare()


def _restore(config: CascadeConfig, default: Transport | None, named: Mapping[str, Transport]) -> Cascade:
    return Cascade(config, transport=default, transports=named)


def _within(plan: Plan, seconds: object) -> Plan:
    """Return the plan for a query that must be over within so many seconds, or sooner where the cascade says so."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InputError(f"expected seconds, more than 0, got {seconds!r}", field="deadline")
    return dataclasses.replace(plan, deadline=min(float(seconds), plan.deadline or math.inf))


def _tools(tools: object) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(tools, Sequence) or isinstance(tools, str):
        raise InputError(f"expected a list of tools in OpenAI's shape, got {type(tools).__name__}", field="tools")
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not function.get("name"):
            raise InputError(
                "expected {'type': 'function', 'function': {'name': ..., 'parameters': ...}}", field=f"tools[{index}]"
            )
    return tuple(tools)
