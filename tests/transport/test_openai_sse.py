"""Server-sent events: however their bytes are cut, and whatever else stands between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcascade.transport import openai_sse
from semcascade.transport.openai_sse import Event, EventDecoder


def decoded(*parts: bytes) -> list[Event]:
    decoder = EventDecoder()
    return [event for part in parts for event in decoder.feed(part)] + list(decoder.end())


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"), max_size=8)


@given(
    events=st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=4),
    ending=st.sampled_from(["\n", "\r", "\r\n"]),
    comments=st.lists(TEXTS, max_size=2),
    bom=st.booleans(),
    data=st.data(),
)
def test_events_are_the_same_however_their_bytes_are_cut(events, ending, comments, bom, data):
    lines = [f": {comment}" for comment in comments]
    for event in events:
        lines += [*(f"data: {line}" for line in event), ""]
    wire = (("\ufeff" if bom else "") + "".join(line + ending for line in lines)).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    parts = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    found = [event.data.decode() for event in decoded(*parts)]
    assert found == ["\n".join(event) for event in events]


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        (b"data:a\n\n", [Event(b"a")]),
        (b"data:  a\n\n", [Event(b" a")]),
        (b"data\n\n", [Event(b"")]),
        (b": ping\n\n\n\ndata: a\n\n", [Event(b"a")]),
        (b"id: 7\nretry: 10\nevent: error\ndata: a\n\ndata: b\n\n", [Event(b"a", "error"), Event(b"b")]),
        (b"event: ping\n\n", []),
        (b"data: a", [Event(b"a")]),
        (b"data: a\ndata: b\n", [Event(b"a\nb")]),
        (b"", []),
    ],
)
def test_what_stands_between_is_read_as_the_standard_says(wire: bytes, events: list[Event]):
    assert decoded(wire) == events
    assert decoded(*(wire[i : i + 1] for i in range(len(wire)))) == events


def test_an_endless_event_is_refused(monkeypatch):
    monkeypatch.setattr(openai_sse, "LARGEST_EVENT", 2**20)
    for wire in (b"data: " + b"x" * 2**20, b"data: xxx\n" * 2**19):
        with pytest.raises(ValueError, match="longer than 1 MiB"):
            decoded(wire)
