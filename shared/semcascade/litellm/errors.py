"""What a cascade raises, as LiteLLM's own errors: what failed last, that is the target, gives the error its class.

The cascade's own error is the `__cause__`; its `failures` and its `decision` tell the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from semcascade._litellm import litellm
from semcascade.errors import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    CascadeError,
    ConfigError,
    ConnectionFailedError,
    ContentFilterError,
    ContextOverflowError,
    DeadlineExceededError,
    InputError,
    MemberBudgetError,
    MemberTimeoutError,
    ModelNotFoundError,
    NotAskedError,
    RateLimitError,
    SemcascadeError,
)

__all__ = ["litellm_errors"]

_KINDS: tuple[tuple[type[SemcascadeError], str], ...] = (
    (ConfigError, "NotFoundError"),
    (InputError, "BadRequestError"),
    (DeadlineExceededError, "Timeout"),
    (BudgetExceededError, "RateLimitError"),
    (MemberBudgetError, "RateLimitError"),
    (NotAskedError, "ServiceUnavailableError"),
    (ContextOverflowError, "ContextWindowExceededError"),
    (ContentFilterError, "ContentPolicyViolationError"),
    (BadRequestError, "BadRequestError"),
    (AuthenticationError, "AuthenticationError"),
    (ModelNotFoundError, "NotFoundError"),
    (RateLimitError, "RateLimitError"),
    (MemberBudgetError, "RateLimitError"),
    (MemberTimeoutError, "Timeout"),
    (ConnectionFailedError, "APIConnectionError"),
    (SemcascadeError, "InternalServerError"),
)
"""The first that fits; subclasses stand before their bases. A ConfigError is a name that nobody registered."""


@contextmanager
def litellm_errors(model: str) -> Iterator[None]:
    """Raise what a cascade raises as LiteLLM's errors."""
    try:
        yield
    except SemcascadeError as error:
        raise _as_litellm(error, model) from error


def _as_litellm(error: SemcascadeError, model: str) -> Exception:
    telling = error
    if type(error) is CascadeError and error.failures:
        telling = error.failures[-1]
    name = next(name for kind, name in _KINDS if isinstance(telling, kind))
    new: Any = getattr(litellm(), name)(message=str(error), model=model, llm_provider="semcascade")
    assert isinstance(new, Exception)  # noqa: S101 - for the type checker
    return new
