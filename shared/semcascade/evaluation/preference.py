"""Quality by preference: a model says whether each answer serves better than the target's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from semcascade.config import CascadeConfig, Member
from semcascade.engine.attempts import Deadline, Patience, ask
from semcascade.engine.guard import Guards
from semcascade.engine.loop import EngineLoop
from semcascade.engine.transports import Transports
from semcascade.evaluation.quality import Marks, Quality
from semcascade.evaluation.rows import Row
from semcascade.messages import Candidate, Request, question_text
from semcascade.similarity import answer_text
from semcascade.similarity.judge import MOST_CHARACTERS, Hearing, judge_member
from semcascade.similarity.judge_form import preference_form
from semcascade.transport.base import Transport

__all__ = ["Preference"]

_TOGETHER = 8
"""Answers that are judged by one request."""


class Preference(Quality):
    """1 for an answer better than the target's, 0.5 for one as good, 0 for a worse one; the target's own is 0.5.

    The judge sees the question and all answers, without names, in one request, and in a second one in the reverse
    order, because judges favour places (Zheng et al. 2023, arXiv 2306.05685); an answer's quality is the mean of both
    verdicts. Answers are fenced by a mark that their authors could not know, and the judge is told that nothing in
    them is addressed to it. An answer in the target's own words is not judged: it is as good. A row for which one of
    the two orders failed is not scored: half a judgement is a biased one.

    Args:
        member: Who judges: a provider id, or a member's settings; keys come from the environment (`api_key_env`).
        target: Name of the target.
        transport: Serves the judge where it names no transport.
        transports: Further transports, by name.
    """

    paid = True

    def __init__(
        self,
        member: str | Mapping[str, Any] | Member,
        target: str,
        *,
        transport: Transport | None = None,
        transports: Mapping[str, Transport] | None = None,
    ) -> None:
        self._member, self._target = judge_member(member), target
        self.name = f"judge:{self._member.name}"
        self._transports = Transports(transport, transports)
        limits = CascadeConfig.build(tiers=[{"members": [self._member]}])
        self._patience = Patience.of(self._member, limits, Deadline(), Guards().query())

    async def marks(self, row: Row) -> Marks:
        """Ask the judge about every answer of a row.

        Raises:
            MemberError: If the judge is sure to fail (no key, unknown model).
        """
        own = row.answers.get(self._target)
        if own is None or not _said(own):
            return Marks(None, f"no answer of the target {self._target!r}")
        answers = {system: [_said(answer) for answer in row.all_answers(system)] for system in row.answers}
        texts = sorted({text for said in answers.values() for text in said} - {"", _said(own)})
        hearing = Hearing(self._member, self._ask, structured=True)
        judged = await EngineLoop.shared().arun(self._judged(hearing, question_text(row.messages), _said(own), texts))
        if judged is None:
            return Marks(None, f"the judge failed: {hearing.failure or 'it left answers out'}", tuple(hearing.paid))
        worth = {**judged, "": 0.0, _said(own): 0.5}
        scores = {system: tuple(worth[text] for text in said) for system, said in answers.items()}
        return Marks(scores, paid=tuple(hearing.paid))

    async def _judged(self, hearing: Hearing, question: str, own: str, texts: Sequence[str]) -> dict[str, float] | None:
        """Return each text's mean verdict over both orders; None where one is missing."""
        if not texts:
            return {}
        transport = self._transports.of(self._member)
        await transport.prepare(self._member)
        transport.check(self._member)
        groups = [[own, *texts[start : start + _TOGETHER]] for start in range(0, len(texts), _TOGETHER)]
        orders = [order for group in groups for order in (group, group[::-1])]
        heard: dict[str, list[float]] = {text: [] for text in texts}
        for verdicts in await asyncio.gather(*(_verdicts(hearing, question, order, own) for order in orders)):
            for text, verdict in verdicts.items():
                heard[text].append(verdict)
        if any(len(verdicts) < 2 for verdicts in heard.values()):
            return None
        return {text: sum(verdicts) / 2 for text, verdicts in heard.items()}

    async def _ask(self, member: Member, request: Request) -> Candidate:
        return await ask(self._transports.of(member), member, request, self._patience)


async def _verdicts(hearing: Hearing, question: str, order: Sequence[str], own: str) -> dict[str, float]:
    """Return the verdict on each text of an order but the target's own."""
    shown = [text[:MOST_CHARACTERS] for text in order]
    form = preference_form(question[:MOST_CHARACTERS], shown, order.index(own) + 1)
    return {order[number - 1]: verdict for (number, _), verdict in (await hearing.verdicts(form)).items()}


def _said(answer: Candidate) -> str:
    """Return what an answer says, "" where it says nothing."""
    text = answer_text(answer) if answer.ok else ""
    return text if text.strip() else ""
