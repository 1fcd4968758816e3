"""Similarities: how alike answers are."""

from semcascade.similarity.base import (
    Ask,
    Comparison,
    FloatArray,
    PaidCall,
    Query,
    Similarity,
    TextSimilarity,
    answer_text,
)
from semcascade.similarity.catalog import SimilarityFunction, get_similarity, register_similarity, similarities
from semcascade.similarity.comparing import acompare, compare, is_brief
from semcascade.similarity.fallback import standing_in
from semcascade.similarity.fitting import misfit
from semcascade.similarity.kinds import Kind, classify, is_definite
from semcascade.similarity.sentences import sentence_words, sentences

__all__ = [
    "Ask",
    "Comparison",
    "FloatArray",
    "Kind",
    "PaidCall",
    "Query",
    "Similarity",
    "SimilarityFunction",
    "TextSimilarity",
    "acompare",
    "answer_text",
    "classify",
    "compare",
    "get_similarity",
    "is_brief",
    "is_definite",
    "misfit",
    "register_similarity",
    "sentence_words",
    "sentences",
    "similarities",
    "standing_in",
]
