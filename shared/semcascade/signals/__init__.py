"""Signals: how reliable answers are, by how alike they are."""
