"""Every error that semcascade raises on purpose.

SemcascadeError
├── ConfigError (ValueError)               a setting is wrong; `field` names it
├── InputError (ValueError)                a prompt or an argument is wrong; `field` names it
├── MissingDependencyError (ImportError)   an optional package is not installed
├── LocalModelError                        weights or runtime of an offline model are not usable
├── MemberError                            one member could not answer; `member` names it
│   ├── AuthenticationError                  missing, wrong or powerless key (401, 403)
│   ├── ModelNotFoundError                   the provider does not know the model (404)
│   ├── BadRequestError                      the provider refuses the request as it stands (400, 422)
│   │   ├── ContextOverflowError               the conversation does not fit the model
│   │   └── ContentFilterError                 the provider's filter refused it
│   ├── RateLimitError                       asked too often (429); `retry_after` where it was said
│   ├── MemberTimeoutError                   no answer within the attempt's time (408, 504)
│   ├── ConnectionFailedError                the provider could not be reached
│   ├── ServerError                          the provider failed (5xx)
│   ├── MalformedReplyError                  what came back is not an answer
│   ├── CutShortError                        nobody waited for the answer any more; not the member's fault
│   └── NotAskedError                        nothing was sent
│       ├── MemberBudgetError                  a cap leaves no room for the request
│       └── CircuitOpenError                   it failed too often of late; `retry_after` says when it is tried again
└── CascadeError                           no path led to an answer; `failures` keeps each member's error
    ├── DeadlineExceededError (TimeoutError) the whole query ran out of time
    └── BudgetExceededError                  a cap ended the query; `retry_after` where time makes room again
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "CascadeError",
    "CircuitOpenError",
    "ConfigError",
    "ConnectionFailedError",
    "ContentFilterError",
    "ContextOverflowError",
    "CutShortError",
    "DeadlineExceededError",
    "InputError",
    "LocalModelError",
    "MalformedReplyError",
    "MemberBudgetError",
    "MemberError",
    "MemberTimeoutError",
    "MissingDependencyError",
    "ModelNotFoundError",
    "NotAskedError",
    "RateLimitError",
    "SemcascadeError",
    "ServerError",
]


class SemcascadeError(Exception):
    """Base of every error that semcascade raises on purpose."""


class _FieldError(SemcascadeError, ValueError):
    """Bad data that a caller handed in; the message starts with the field's name."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.field = field
        super().__init__(f"{field}: {message}" if field else message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class ConfigError(_FieldError):
    """A setting is wrong; `field` names it."""


class InputError(_FieldError):
    """A prompt or an argument is wrong; `field` names it."""


class MissingDependencyError(SemcascadeError, ImportError):
    """An optional package is not installed.

    Args:
        package: The package that could not be imported.
        extra: The extra of semcascade that brings it.
        purpose: What it is needed for.
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        self.package, self.extra, self.purpose = package, extra, purpose
        super().__init__(f"{purpose} needs the package {package!r}: pip install 'semcascade[{extra}]'")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class LocalModelError(SemcascadeError):
    """Weights or runtime of an offline model are not usable."""


class MemberError(SemcascadeError):
    """One member could not answer.

    Args:
        message: What went wrong and what to do; free of secrets.
        member: The member's name.
        status: HTTP status, where there was one.
        retry_after: Seconds the provider asked to wait, where it did.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, member: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.member, self.status, self.retry_after = member, status, retry_after
        super().__init__(f"{member}: {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class AuthenticationError(MemberError):
    """The key is missing, wrong, or may not do this (401, 403)."""


class ModelNotFoundError(MemberError):
    """The provider does not know the model (404)."""


class BadRequestError(MemberError):
    """The provider refuses the request as it stands (400, 422)."""


class ContextOverflowError(BadRequestError):
    """The conversation does not fit into the model's context window."""


class ContentFilterError(BadRequestError):
    """The provider's content filter refused the request."""


class RateLimitError(MemberError):
    """The provider was asked too often (429)."""

    retryable = True


class MemberTimeoutError(MemberError):
    """No answer came within the time of one attempt (408, 504)."""

    retryable = True


class ConnectionFailedError(MemberError):
    """The provider could not be reached."""

    retryable = True


class ServerError(MemberError):
    """The provider failed (5xx)."""

    retryable = True


class MalformedReplyError(MemberError):
    """What came back is not an answer."""

    retryable = True


class CutShortError(MemberError):
    """Nobody waited for the answer any more: the decision was certain without it, or the query was left."""


class NotAskedError(MemberError):
    """Nothing was sent to the member."""


class MemberBudgetError(NotAskedError):
    """A cap leaves no room for a request to the member; `retry_after` says when a period makes room, where it does."""


class CircuitOpenError(NotAskedError):
    """The member failed too often of late and is left alone; `retry_after` says when it is tried again."""


class CascadeError(SemcascadeError):
    """No path led to an answer.

    Args:
        message: What happened, in one sentence.
        failures: One error for each member that failed, in the order they were asked.
        decision: The record of the query as far as it came, spend included.
    """

    def __init__(self, message: str, *, failures: Sequence[MemberError] = (), decision: object | None = None) -> None:
        self.failures = tuple(failures)
        self.decision = decision
        super().__init__("; ".join([message, *(str(failure) for failure in self.failures)]))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class DeadlineExceededError(CascadeError, TimeoutError):
    """The whole query ran out of time."""


class BudgetExceededError(CascadeError):
    """A cap ended the query before there was an answer."""

    @property
    def retry_after(self) -> float | None:
        """Seconds until a period makes room again, or None where waiting does not help."""
        waits = [failure.retry_after for failure in self.failures if isinstance(failure, MemberBudgetError)]
        return waits[-1] if waits else None


def _rebuild(cls: type[SemcascadeError], args: tuple[Any, ...], state: dict[str, Any]) -> SemcascadeError:
    """Restore an error with keyword-only arguments from a pickle."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error
