"""Evaluation: replaying recorded answers through the engine, and what its decisions were worth."""

from semcascade.evaluation.evaluating import Evaluation, evaluate
from semcascade.evaluation.replay import replay
from semcascade.evaluation.rows import Row, complete_rows, read_rows

__all__ = ["Evaluation", "Row", "complete_rows", "evaluate", "read_rows", "replay"]
