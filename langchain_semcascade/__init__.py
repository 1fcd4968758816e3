"""Semantic agreement cascades as a LangChain chat model: ask cheap models, defer to a large one when they scatter."""

from __future__ import annotations

from semcascade.errors import MissingDependencyError

try:
    # First of all, and by this path: in any other order langchain-core takes a fifth longer to import.
    import langchain_core.language_models.chat_models  # noqa: F401
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise MissingDependencyError("langchain-core", extra="langchain", purpose="langchain_semcascade") from error

from langchain_semcascade.chat_model import ChatSemCascade
from langchain_semcascade.errors import (
    ChatAuthenticationError,
    ChatConnectionError,
    ChatContextOverflowError,
    ChatDeadlineError,
    ChatInputError,
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
    "ChatInputError",
    "ChatInvalidRequestError",
    "ChatModelNotFoundError",
    "ChatPermissionError",
    "ChatRateLimitError",
    "ChatSemCascade",
    "ChatServerError",
    "ChatTimeoutError",
]
