"""Errors of the chat model: langchain-core's own, and semcascade's at the same time.

An application that retries on langchain-core's `ModelRateLimitError`, or summarises on its `ContextOverflowError`,
does so here too; `failures` and `decision` of `semcascade.CascadeError` tell the rest. What failed last, that is
the target, gives the error its class; it is the error's `__cause__`, and the provider's own error is the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core import exceptions as core

from semcascade.config import Member
from semcascade.errors import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    CascadeError,
    ConnectionFailedError,
    ContextOverflowError,
    DeadlineExceededError,
    InputError,
    MemberBudgetError,
    MemberError,
    MemberTimeoutError,
    ModelNotFoundError,
    RateLimitError,
    ServerError,
)
from semcascade.provider_errors import provider_error
from semcascade.redaction import redact

__all__ = [
    "ChatAuthenticationError",
    "ChatBudgetError",
    "ChatConnectionError",
    "ChatContextOverflowError",
    "ChatDeadlineError",
    "ChatInputError",
    "ChatInvalidRequestError",
    "ChatModelNotFoundError",
    "ChatPermissionError",
    "ChatRateLimitError",
    "ChatServerError",
    "ChatTimeoutError",
    "member_error",
    "translated",
]


class ChatInputError(core.ModelInvalidRequestError, InputError):
    """A prompt or an argument of the call is wrong; `field` names it."""


class ChatAuthenticationError(core.ModelAuthenticationError, CascadeError):
    """A key is missing or wrong."""


class ChatPermissionError(core.ModelPermissionDeniedError, CascadeError):
    """The key is right but may not do this."""


class ChatInvalidRequestError(core.ModelInvalidRequestError, CascadeError):
    """The provider refuses the request as it stands."""


class ChatContextOverflowError(core.ContextOverflowError, CascadeError):
    """The conversation does not fit into the model's context window."""


class ChatModelNotFoundError(core.ModelNotFoundError, CascadeError):
    """The provider does not know the model."""


class ChatRateLimitError(core.ModelRateLimitError, CascadeError):
    """The provider was asked too often."""


class ChatTimeoutError(core.ModelTimeoutError, CascadeError):
    """No answer came in time."""


class ChatDeadlineError(core.ModelTimeoutError, DeadlineExceededError):
    """The whole query ran out of time."""


class ChatBudgetError(core.ModelError, BudgetExceededError):
    """A cap ended the query; `retry_after` says when a period has room again."""


class ChatConnectionError(core.ModelConnectionError, CascadeError):
    """The provider could not be reached."""


class ChatServerError(core.ModelAPIError, CascadeError):
    """The provider failed, or sent something that is not an answer."""


_KINDS: tuple[tuple[type[MemberError], type[CascadeError]], ...] = (
    (ContextOverflowError, ChatContextOverflowError),
    (BadRequestError, ChatInvalidRequestError),
    (AuthenticationError, ChatAuthenticationError),
    (ModelNotFoundError, ChatModelNotFoundError),
    (RateLimitError, ChatRateLimitError),
    (MemberTimeoutError, ChatTimeoutError),
    (ConnectionFailedError, ChatConnectionError),
    (MemberBudgetError, ChatBudgetError),
    (MemberError, ChatServerError),
)
"""The first that fits; subclasses stand before their bases."""

_OF_MEMBERS: tuple[tuple[type[core.ModelError], type[MemberError]], ...] = (
    (core.ModelAuthenticationError, AuthenticationError),
    (core.ModelPermissionDeniedError, AuthenticationError),
    (core.ModelNotFoundError, ModelNotFoundError),
    (core.ContextOverflowError, ContextOverflowError),
    (core.ModelInvalidRequestError, BadRequestError),
    (core.ModelRateLimitError, RateLimitError),
    (core.ModelTimeoutError, MemberTimeoutError),
    (core.ModelConnectionError, ConnectionFailedError),
    (core.ModelAPIError, ServerError),
)
"""What a chat model that is a member raises, as the core's; the first that fits."""

_FORBIDDEN = 403


@contextmanager
def translated() -> Iterator[None]:
    """Raise semcascade's errors as those of the chat model.

    >>> with translated():
    ...     raise RateLimitError("slow down", member="a")
    Traceback (most recent call last):
    langchain_semcascade.errors.ChatRateLimitError: a: slow down
    """
    try:
        yield
    except core.ModelError:
        raise
    except InputError as error:
        raise _as(ChatInputError, error, field=error.field) from error.__cause__
    except MemberError as error:
        raise _as(_kind(error), error, failures=(error,), decision=None) from error
    except CascadeError as error:
        last = error.failures[-1] if error.failures else None
        kind = ChatDeadlineError if isinstance(error, DeadlineExceededError) else _kind(last)
        raise _as(kind, error, failures=error.failures, decision=error.decision) from last


def member_error(error: Exception, member: Member) -> MemberError:
    """Return what a chat model raised as an error of the member that it is."""
    kind = next((ours for theirs, ours in _OF_MEMBERS if isinstance(error, theirs)), None)
    if kind is None or isinstance(error, MemberError):
        return provider_error(error, member)
    status = _FORBIDDEN if isinstance(error, core.ModelPermissionDeniedError) else None
    said = redact(str(error), member.secrets()) or type(error).__name__
    return kind(said[:600], member=member.name, status=status)


def _kind(error: MemberError | None) -> type[CascadeError]:
    if isinstance(error, AuthenticationError) and error.status == _FORBIDDEN:
        return ChatPermissionError
    return next((chat for kind, chat in _KINDS if isinstance(error, kind)), ChatServerError)


def _as(kind: type[Exception], error: Exception, **attributes: object) -> Exception:
    """Return an error of another class with the same text."""
    new = kind.__new__(kind)
    new.args = error.args
    new.__dict__.update(attributes)
    return new
