"""Semantic agreement cascades: ask cheap models, trust their consensus, defer to a large model when they scatter."""
