"""The engine: one query's way through the tiers, on one private event loop."""
