"""Transports: each asks one member one thing."""

from semcascade.transport.base import Delta, ToolCallDelta, Transport, assemble

__all__ = ["Delta", "ToolCallDelta", "Transport", "assemble"]
