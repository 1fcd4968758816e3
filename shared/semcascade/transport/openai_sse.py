"""Server-sent events, taken apart as their bytes arrive.

Follows the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream", but for one leniency: an event that is
complete except for its blank line counts when the stream ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["LARGEST_EVENT", "Event", "EventDecoder"]

LARGEST_EVENT = 8 * 2**20
"""Bytes that one event may have."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        data: Its data lines, joined by newlines.
        name: Its type, "" unless named.
    """

    data: bytes
    name: str = ""


class EventDecoder:
    r"""Turns bytes, cut anywhere, into events.

    Lines end with LF, CR or CRLF. They are told apart as bytes, so that a character cut in two is whole again before
    it is read.

    >>> decoder = EventDecoder()
    >>> [event.data for part in (b": hi\r\ndata: a\r", b"\ndata: b\r\n\r\nda") for event in decoder.feed(part)]
    [b'a\nb']
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0
        self._begun = self._after_cr = False

    def feed(self, part: bytes) -> Iterator[Event]:
        """Yield the events that are complete with these bytes.

        Raises:
            ValueError: If an event is larger than `LARGEST_EVENT`.
        """
        if not part:
            return
        ended_by_cr, self._after_cr = self._after_cr, part.endswith(b"\r")
        waiting = self._rest + (part.removeprefix(b"\n") if ended_by_cr else part)
        if not self._begun:
            if len(waiting) < len(_BOM) and _BOM.startswith(waiting):
                self._rest = waiting
                return
            waiting, self._begun = waiting.removeprefix(_BOM), True
        lines = waiting.splitlines(keepends=True)
        self._rest = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
        for line in lines:
            yield from self._line(line.rstrip(b"\r\n"))
        if self._size + len(self._rest) > LARGEST_EVENT:
            raise ValueError(f"an event is longer than {LARGEST_EVENT >> 20} MiB")

    def end(self) -> Iterator[Event]:
        """Yield the event that the stream ended with."""
        if self._rest:
            yield from self._line(self._rest)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[Event]:
        if not line:
            if self._data:
                yield Event(b"\n".join(self._data), self._name)
            self._data, self._name, self._size = [], "", 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
