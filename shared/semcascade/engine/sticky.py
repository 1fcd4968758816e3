"""Conversations stay on the tier that their earlier turns needed: answers of one voice, and one prompt cache in use."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator

from semcascade.decision import FALLBACK, Decision
from semcascade.engine.query import Plan
from semcascade.errors import InputError
from semcascade.locks import ForkLock
from semcascade.messages import Conversation

__all__ = ["MOST_CONVERSATIONS", "Conversations", "Turn"]

MOST_CONVERSATIONS = 10_000
"""Turns, or named conversations, that are remembered; those that were not gone on with longest are forgotten."""


class Conversations:
    """Remembers which tier turns needed. Safe to use from any thread.

    A conversation without a name is known by its messages: a later turn begins with those of the earlier ones.
    """

    def __init__(self, most: int = MOST_CONVERSATIONS) -> None:
        self._most, self._lock = most, ForkLock()
        self._needed: OrderedDict[str, str] = OrderedDict()

    def turn(self, messages: Conversation, name: object = None) -> Turn:
        """Return the turn that asks with these messages.

        Raises:
            InputError: If the conversation's name is no text.
        """
        if name is not None and (not isinstance(name, str) or not name):
            raise InputError("expected the name of a conversation, a text that is not empty", field="conversation")
        if name is not None:
            return Turn(self, (f"named {name}",), f"named {name}")
        *earlier, whole = _prefixes(messages)
        return Turn(self, tuple(reversed(earlier)), whole)

    def needed(self, keys: tuple[str, ...]) -> str | None:
        """Return the tier that the latest known of these turns needed."""
        with self._lock:
            for key in keys:
                if key in self._needed:
                    self._needed.move_to_end(key)
                    return self._needed[key]
        return None

    def keep(self, key: str, tier: str) -> None:
        """Remember that a turn needed a tier."""
        with self._lock:
            self._needed[key] = tier
            self._needed.move_to_end(key)
            while len(self._needed) > self._most:
                self._needed.popitem(last=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    conversations: Conversations
    earlier: tuple[str, ...]
    own: str

    def planned(self, plan: Plan) -> Plan:
        """Leave out the tiers before the one that an earlier turn needed."""
        needed = self.conversations.needed(self.earlier)
        names = [tier.name for tier in plan.config.tiers]
        if needed not in names[1:]:
            return plan
        start = names.index(needed)
        return dataclasses.replace(
            plan,
            config=plan.config.model_copy(update={"tiers": plan.config.tiers[start:]}),
            scorers=plan.scorers[start:],
            notes=(*plan.notes, f"sticky: an earlier turn of the conversation needed {needed}"),
        )

    def note(self, plan: Plan, decision: Decision) -> None:
        """Remember which tier the turn needed, where answers of a tier before were rejected."""
        tiers = plan.config.tiers
        went_on = any(record.signal is not None and not record.accepted for record in decision.tiers)
        stayed = self.conversations.needed(self.earlier) is not None
        needed = [record for record in decision.tiers if not record.speculated]
        if needed and (went_on or stayed):
            last = needed[-1]
            self.conversations.keep(self.own, tiers[-1].name if last.name == FALLBACK else last.name)


def _prefixes(messages: Conversation) -> Iterator[str]:
    """Yield a digest of the first message, of the first two, and so on."""
    running = hashlib.sha256()
    for message in messages:
        text = json.dumps(dict(message), sort_keys=True, ensure_ascii=False, default=repr)
        running.update(f"{len(text)}:{text}".encode("utf-8", "replace"))
        yield running.hexdigest()
