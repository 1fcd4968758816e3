"""What was worked out for a text before."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

from semcascade.locks import ForkLock

__all__ = ["TextCache"]

V = TypeVar("V")


class TextCache(Generic[V]):
    """The values of the texts, or groups of texts, that were used last. Safe to use from many threads.

    Args:
        size: How many to keep.

    >>> cache: TextCache[int] = TextCache(2)
    >>> cache.put(3, "one", "text")
    >>> cache.get("one", "text"), cache.get("onetext")
    (3, None)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[bytes, V] = OrderedDict()
        self._lock = ForkLock()

    def get(self, *texts: str) -> V | None:
        """Return what is known of the texts."""
        key = _digest(texts)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()

    def put(self, value: V, *texts: str) -> None:
        """Keep a value, and forget the one that was not used for longest when there are too many."""
        with self._lock:
            self._kept[_digest(texts)] = value
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


def _digest(texts: tuple[str, ...]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        written = text.encode("utf-8", "surrogatepass")
        digest.update(len(written).to_bytes(8, "little") + written)
    return digest.digest()
