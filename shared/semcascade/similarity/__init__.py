"""Similarities: how alike answers are."""
