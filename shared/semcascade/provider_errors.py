"""What a provider's client raises, as one of the library's own errors.

Clients wrap each other's errors; what went wrong is often told only deep in the chain. LiteLLM reports a refused
connection, a missing key and a garbled body all as a server error.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

from semcascade.config import Member
from semcascade.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    ContentFilterError,
    ContextOverflowError,
    MalformedReplyError,
    MemberError,
    MemberTimeoutError,
    ModelNotFoundError,
    RateLimitError,
    ServerError,
)
from semcascade.redaction import redact

__all__ = ["provider_error"]

_BY_STATUS: Mapping[int, type[MemberError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: ModelNotFoundError,
    408: MemberTimeoutError,
    413: ContextOverflowError,
    429: RateLimitError,
    504: MemberTimeoutError,
}

_BY_CODE: Mapping[str, type[MemberError]] = {
    "context_length_exceeded": ContextOverflowError,
    "content_filter": ContentFilterError,
    "content_policy_violation": ContentFilterError,
}

_BY_CLASS: Mapping[str, type[MemberError]] = {
    "ContextWindowExceededError": ContextOverflowError,
    "ContentPolicyViolationError": ContentFilterError,
    "Timeout": MemberTimeoutError,
    "APITimeoutError": MemberTimeoutError,
    "TimeoutError": MemberTimeoutError,
    "JSONDecodeError": MalformedReplyError,
    "APIResponseValidationError": MalformedReplyError,
    "ClientPayloadError": ConnectionFailedError,
    "ClientConnectorError": ConnectionFailedError,
    "ClientConnectionError": ConnectionFailedError,
    "ClientOSError": ConnectionFailedError,
    "ServerDisconnectedError": ConnectionFailedError,
    "ConnectError": ConnectionFailedError,
    "ReadError": ConnectionFailedError,
    "RemoteProtocolError": ConnectionFailedError,
    "APIConnectionError": ConnectionFailedError,
    "ClientResponseError": MalformedReplyError,
    "ClientError": ConnectionFailedError,
}
"""By the name of a class in the chain, its own or a base's; the most telling first."""

_BY_WORDS: Mapping[type[MemberError], re.Pattern[str]] = {
    ContextOverflowError: re.compile(
        r"maximum context (?:length|limit)|context(?:[ _]length| window| size| limit) ?(?:is |was )?exceed"
        r"|exceeds? (?:the |its |available |maximum |model's |allowed )*(?:context|(?:number of )?(?:input )?tokens)"
        r"|longer than the model's context|(?:prompt|input) is too long|reduce the length of the messages"
        r"|`inputs` tokens \+ `max_new_tokens`|maximum input length",
        re.IGNORECASE,
    ),
    ContentFilterError: re.compile(
        r"content[ _](?:management )?policy|content[ _]filter|responsibleaipolicyviolation|safety system|usage policy",
        re.IGNORECASE,
    ),
}
"""What services say of a request that they refuse by status 400, where they have no code for it."""

_NO_REPLY = re.compile(
    r"Empty or invalid response from LLM endpoint|Invalid response object"
    r"|provider returned 'choices' that is not a list"
)
"""What LiteLLM says of a reply that is no JSON, or none of a chat service, as of a server error."""

_FRAMES = "Traceback (most recent call last)"
"""LiteLLM puts its own frames, and all of the reply behind them, into some messages."""

_INVENTED = frozenset({"APIConnectionError", "APITimeoutError", "JSONDecodeError", "MidStreamFallbackError"})
"""Errors of clients that LiteLLM gives a status, though no service had said any."""

_ADVICE: Mapping[type[MemberError], str] = {
    AuthenticationError: "the provider refused the key; check it and what it may do",
    ModelNotFoundError: "the provider does not know this model; check its id and api_base",
    ContextOverflowError: "the conversation does not fit the model; shorten it or take a model with a longer window",
    ContentFilterError: "the provider's content filter refused the request",
    ConnectionFailedError: "the provider could not be reached, or broke off; check api_base and the network",
    MalformedReplyError: "what came back is not a reply; check that api_base is a chat service",
}


_WRAPPING = re.compile(r"^(?:litellm\.)?(?:\w+(?:Error|Timeout): )*(?:\w+Exception - )?")
"""The names of the wrapping errors, which LiteLLM repeats in front of what the provider said."""


def provider_error(error: Exception, member: Member) -> MemberError:
    """Return what a client raised as one of the library's errors, without secrets."""
    if isinstance(error, MemberError):
        return error
    chain = list(_chain(error))
    kind = _kind(chain)
    said = redact(str(error).partition(_FRAMES)[0], member.secrets()) or type(error).__name__
    said = _WRAPPING.sub("", said).strip()
    message = f"{_ADVICE[kind]} ({said[:500]})" if kind in _ADVICE else said[:600]
    return kind(message, member=member.name, status=_status(chain), retry_after=_retry_after(chain))


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _kind(chain: list[BaseException]) -> type[MemberError]:
    names = {base.__name__ for link in chain for base in type(link).__mro__}
    for link in chain:
        code = vars(link).get("code")  # not by getattr: on some errors it is a property that warns of itself
        if isinstance(code, str) and code in _BY_CODE:
            return _BY_CODE[code]
    for name in ("ContextWindowExceededError", "ContentPolicyViolationError"):
        if name in names:
            return _BY_CLASS[name]
    status = _status(chain)
    if status in {400, 422}:
        for kind, words in _BY_WORDS.items():
            if words.search(str(chain[0])):
                return kind
    if _NO_REPLY.search(str(chain[0])):
        return MalformedReplyError
    if status is not None and status in _BY_STATUS:
        return _BY_STATUS[status]
    if any(isinstance(link, json.JSONDecodeError) for link in chain):
        return MalformedReplyError
    if any(isinstance(link, ConnectionError) for link in chain):
        return ConnectionFailedError
    for name, kind in _BY_CLASS.items():
        if name in names:
            return kind
    if isinstance(chain[0], TypeError) and "keyword argument" in str(chain[0]):
        return BadRequestError  # the client itself refuses a parameter
    return BadRequestError if status is not None and 300 <= status < 500 else ServerError


def _status(chain: list[BaseException]) -> int | None:
    """Return the HTTP status, or the number that stands in its place in an error within a reply."""
    invented = any(type(link).__name__ in _INVENTED for link in chain)
    for link in chain:
        statuses = (
            []
            if invented
            else [getattr(owner, "status_code", None) for owner in (link, getattr(link, "response", None))]
        )
        if type(link).__name__ == "APIError":  # an error that came as a chunk of a stream
            statuses.append(getattr(link, "code", None))
        for status in statuses:
            if isinstance(status, int | str) and str(status).isdigit():
                return int(status)
    return None


def _retry_after(chain: list[BaseException]) -> float | None:
    """Return the seconds that the provider asked to wait, by number or by date."""
    for link in chain:
        for owner in (getattr(link, "response", None), link):
            for attribute in ("headers", "litellm_response_headers"):
                headers = getattr(owner, attribute, None)
                said = headers.get("retry-after") if isinstance(headers, Mapping) else None
                if said is not None and (seconds := _seconds(str(said))) is not None:
                    return seconds
    return None


def _seconds(said: str) -> float | None:
    """Read a Retry-After (RFC 9110, section 10.2.3); one that has passed says no more than that clocks differ."""
    try:
        seconds = float(said)
    except ValueError:
        try:
            until = parsedate_to_datetime(said)
        except ValueError:
            return None
        seconds = until.timestamp() - time.time()
    return seconds if 0 <= seconds < math.inf else None
