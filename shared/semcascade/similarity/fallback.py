"""What takes the place of a similarity that failed: `auto`, which needs no service."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from semcascade.messages import Candidate
from semcascade.similarity.base import Comparison, PaidCall, Query, Similarity
from semcascade.similarity.catalog import get_similarity

__all__ = ["in_place_of", "standing_in"]


async def in_place_of(
    failed: Similarity, why: str, query: Query, answers: Sequence[Candidate], paid: Sequence[PaidCall] = ()
) -> Comparison:
    """Compare by `auto`; the method and a note say so (see `standing_in`)."""
    found = await asyncio.to_thread(get_similarity("auto").compare, query, answers)
    return standing_in(found, failed, why, paid)


def standing_in(found: Comparison, failed: Similarity, why: str, paid: Sequence[PaidCall] = ()) -> Comparison:
    """Say of a comparison that it stands in for another.

    Args:
        found: The comparison that was made.
        failed: What was to compare the answers.
        why: What was wrong, free of secrets.
        paid: What was spent before it failed.
    """
    return dataclasses.replace(
        found,
        method=f"{found.method}, in place of {failed.name}",
        paid=(*paid, *found.paid),
        notes=(f"{failed.name} could not compare ({why}); auto did", *found.notes),
    )
