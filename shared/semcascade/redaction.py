"""Keeping secrets out of everything that is shown, stored or raised."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["is_secret_key", "redact"]

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


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Replace known secrets, and what looks like one, in a text that leaves the library.

    >>> redact("Incorrect API key provided: sk-abcdefghijklmnop")
    'Incorrect API key provided: ***'
    """
    for secret in secrets:
        if secret and len(secret) >= 4:
            text = text.replace(secret, "***")
    return _SECRET_TEXT.sub("***", text)
