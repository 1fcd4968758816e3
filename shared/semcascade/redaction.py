"""Keeping secrets out of everything that is shown, stored or raised."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["is_secret_key", "redact", "secret_values", "without_secrets"]

_SHORTEST_KEY = 8
"""Shorter values of the environment are no keys, and hiding them would only garble what is said."""

_NO_KEYS = frozenset({"none", "null", "true", "false", "empty", "dummy", "fake", "no-key", "not-needed"})
"""What is written where a server of one's own wants no key; hiding these words would garble texts, and JSON."""

_SECRET_KEY = re.compile(
    r"(^|_|-)(key|secret|password|passwd|credentials?|authorization|auth|bearer|headers?)($|_|-)"
    r"|(?<!per)(^|_|-)token$|api_?key|private",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|glpat|AIza|AKIA)[-_A-Za-z0-9]{12,}"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)


def is_secret_key(name: str) -> bool:
    """Say whether a setting of this name may hold a secret.

    >>> is_secret_key("aws_secret_access_key"), is_secret_key("extra_headers"), is_secret_key("max_tokens")
    (True, True, False)
    """
    return bool(_SECRET_KEY.search(name))


def secret_values(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text that stands under the name of a secret, at any depth.

    >>> list(secret_values({"seed": 1, "extra_headers": {"X-Team": "the-password"}}))
    ['the-password']
    """
    for name, value in settings.items():
        if is_secret_key(str(name)):
            yield from _texts(value)
        else:
            for part in _mappings(value):
                yield from secret_values(part)


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without what stands under the name of a secret, at any depth.

    >>> without_secrets({"seed": 1, "extra_body": {"session_key": "k", "tier": "flex"}})
    {'seed': 1, 'extra_body': {'tier': 'flex'}}
    """
    return {name: _without(value) for name, value in settings.items() if not is_secret_key(str(name))}


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_secrets(value)
    return [_without(part) for part in value] if isinstance(value, list | tuple) else value


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _mappings(part)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Replace secrets in a text that leaves the library: known ones, keys of the environment, what looks like one.

    Providers repeat keys in their error texts, and not every key looks like one.

    >>> redact("Incorrect API key provided: sk-abcdefghijklmnop")
    'Incorrect API key provided: ***'
    """
    known = {secret for secret in secrets if secret and len(secret) >= 4 and secret.lower() not in _NO_KEYS}
    known |= {value for name, value in os.environ.items() if len(value) >= _SHORTEST_KEY and is_secret_key(name)}
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _SECRET_TEXT.sub("***", text)
