"""Evaluation: replaying recorded answers through the engine, and what its decisions were worth."""

from semcascade.evaluation.drift import drift_of_log
from semcascade.evaluation.evaluating import Evaluation, evaluate
from semcascade.evaluation.fitting import Fit, fit_policy
from semcascade.evaluation.goals import Goal
from semcascade.evaluation.prompts import read_prompts
from semcascade.evaluation.recording import Recording, arecord, record
from semcascade.evaluation.replay import replay
from semcascade.evaluation.rows import Row, complete_rows, read_rows
from semcascade.evaluation.scoring import Scoring, score_file, score_rows
from semcascade.evaluation.studying import Study, study

__all__ = [
    "Evaluation",
    "Fit",
    "Goal",
    "Recording",
    "Row",
    "Scoring",
    "Study",
    "arecord",
    "complete_rows",
    "drift_of_log",
    "evaluate",
    "fit_policy",
    "read_prompts",
    "read_rows",
    "record",
    "replay",
    "score_file",
    "score_rows",
    "study",
]
