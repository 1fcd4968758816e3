"""Semantic agreement cascades as a LangChain chat model: ask cheap models, defer to a large one when they scatter."""

from __future__ import annotations

from importlib.util import find_spec

from semcascade.errors import MissingDependencyError

if find_spec("langchain_core") is None:
    raise MissingDependencyError("langchain-core", extra="langchain", purpose="langchain_semcascade")

from langchain_semcascade.chat_model import ChatSemCascade
from langchain_semcascade.errors import (
    ChatAuthenticationError,
    ChatConnectionError,
    ChatContextOverflowError,
    ChatDeadlineError,
    ChatInvalidRequestError,
    ChatModelNotFoundError,
    ChatPermissionError,
    ChatRateLimitError,
    ChatServerError,
    ChatTimeoutError,
)

__all__ = [
    "ChatAuthenticationError",
    "ChatConnectionError",
    "ChatContextOverflowError",
    "ChatDeadlineError",
    "ChatInvalidRequestError",
    "ChatModelNotFoundError",
    "ChatPermissionError",
    "ChatRateLimitError",
    "ChatSemCascade",
    "ChatServerError",
    "ChatTimeoutError",
]
