"""Which run a call belongs to, also where langchain-core does not say.

It hands the run to `_generate`, but not to `_stream`; who wants to tell handlers more than tokens must find it out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseCallbackManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.utils.uuid import uuid7

__all__ = ["RunAware", "current_run"]

R = TypeVar("R", bound=BaseRunManager)

_current: ContextVar[BaseRunManager | None] = ContextVar("semcascade_current_run", default=None)

_NOTHING: Any = object()


def current_run(given: R | None, kind: type[R]) -> R | None:
    """Return the run that a call was given, else the one that it belongs to."""
    if given is not None:
        return given
    known = _current.get()
    return known if isinstance(known, kind) else None


@contextmanager
def _running(run: BaseRunManager | None) -> Iterator[None]:
    token = _current.set(run)
    try:
        yield
    finally:
        _current.reset(token)


class RunAware(BaseChatModel):
    """A chat model whose `_stream` and `_astream` find their run by `current_run`, when they begin."""

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Yield the answer in pieces."""
        config = ensure_config(config)
        manager = CallbackManager.configure(config.get("callbacks"))
        run = self._named(config, manager, CallbackManagerForLLMRun)
        with closing(cast("Any", super().stream(input, config, stop=stop, **kwargs))) as chunks:
            with _running(run):  # left again before anything is yielded, so that it never reaches the caller
                first = next(chunks, _NOTHING)
            if first is not _NOTHING:
                yield first
                yield from chunks

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Yield the answer in pieces, asynchronously."""
        config = ensure_config(config)
        manager = AsyncCallbackManager.configure(config.get("callbacks"))
        run = self._named(config, manager, AsyncCallbackManagerForLLMRun)
        async with aclosing(cast("Any", super().astream(input, config, stop=stop, **kwargs))) as chunks:
            with _running(run):
                first = await anext(chunks, _NOTHING)
            if first is not _NOTHING:
                yield first
                async for chunk in chunks:
                    yield chunk

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with _running(run_manager):
            return super()._generate_with_cache(messages, stop, run_manager, **kwargs)

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with _running(run_manager):
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)

    def _named(self, config: RunnableConfig, manager: BaseCallbackManager, kind: type[R]) -> R:
        """Settle the id and the handlers of the run that is about to begin, and return it."""
        config["callbacks"] = manager
        run_id = config["run_id"] = config.get("run_id") or uuid7()
        own = self.callbacks if isinstance(self.callbacks, list) else self.callbacks.handlers if self.callbacks else []
        tags, metadata = config.get("tags") or [], config.get("metadata") or {}
        return kind(
            run_id=run_id,
            handlers=[*manager.handlers, *(handler for handler in own if handler not in manager.handlers)],
            inheritable_handlers=manager.inheritable_handlers,
            parent_run_id=manager.parent_run_id,
            tags=[*manager.tags, *tags, *(self.tags or [])],
            inheritable_tags=[*manager.inheritable_tags, *tags],
            metadata={**manager.metadata, **metadata, **(self.metadata or {})},
            inheritable_metadata={**manager.inheritable_metadata, **metadata},
        )
