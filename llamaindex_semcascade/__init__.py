"""A semantic agreement cascade as a LlamaIndex LLM: `from llamaindex_semcascade import SemCascade`."""

from semcascade.errors import MissingDependencyError

try:
    import llama_index.core.llms.function_calling  # noqa: F401
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("llama_index"):
        raise
    raise MissingDependencyError("llama-index-core", extra="llamaindex", purpose="llamaindex_semcascade") from error

from llamaindex_semcascade.events import DecisionEvent
from llamaindex_semcascade.llm import SemCascade

__all__ = ["DecisionEvent", "SemCascade"]
