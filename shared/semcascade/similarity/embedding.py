"""Likeness of meaning by embeddings: a local sentence-transformers model, or a service through LiteLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from semcascade._litellm import litellm
from semcascade.config import Member
from semcascade.errors import AuthenticationError, ConfigError, MalformedReplyError
from semcascade.messages import Candidate
from semcascade.provider_errors import provider_error
from semcascade.similarity.base import Comparison, FloatArray, PaidCall, Query, Similarity, answer_text
from semcascade.similarity.batches import Batches
from semcascade.similarity.cache import TextCache
from semcascade.similarity.fallback import in_place_of
from semcascade.similarity.local_models import BACKENDS, local_model, too_long
from semcascade.similarity.vectors import Embedded, cosines

__all__ = ["DEFAULT_MODEL", "Embedding"]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
REMOTE_PREFIX = "litellm/"


class Embedding(Similarity):
    """Cosine of embeddings; negative ones count as 0.

    Note what no embedding sees well: short answers that differ in one decisive word ("Paris", "Lyon") are close.

    Args:
        model: A sentence-transformers id or directory, or "litellm/" and a LiteLLM id, e.g.
            "litellm/openai/text-embedding-3-small"; with `transport`, an id as members write it.
        same_at: Cosine from which two answers count as the same.
        cache_size: How many texts' vectors are kept, so that no text is embedded twice.
        backend: Of a local model: "torch", "onnx" or "openvino"; the latter two need sentence-transformers' own extras
            (`pip install 'sentence-transformers[onnx]'`), which this library's tests do not run. Static models (tables
            of word vectors, e.g. "minishlab/potion-base-8M") are "torch" models like others, and much faster.
        device: Of a local model; chosen by torch unless given.
        transport: Who asks a service, as for members: "litellm", "openai", or one of the user's own.
        api_base: Address of an OpenAI-compatible service of one's own.
        api_key_env: Name of the environment variable that holds the service's key.
        timeout: Seconds for one request to a service.
        max_retries: How often a failed request to a service is repeated.

    Raises:
        ConfigError: If a setting is wrong.
    """

    name = "embedding"

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        same_at: float = 0.85,
        cache_size: int = 4096,
        backend: str = "torch",
        device: str | None = None,
        transport: str | None = None,
        api_base: str | None = None,
        api_key_env: str | None = None,
        timeout: float = 30.0,
        max_retries: int = 2,
    ) -> None:
        if not isinstance(model, str) or not model.removeprefix(REMOTE_PREFIX).strip():
            raise ConfigError("name an embedding model, e.g. " + DEFAULT_MODEL, field="similarity.model")
        if not 0 <= same_at <= 1:
            raise ConfigError(f"must be from 0 to 1, got {same_at}", field="similarity.same_at")
        if cache_size < 0:
            raise ConfigError(f"must be 0 or more, got {cache_size}", field="similarity.cache_size")
        if backend not in BACKENDS:
            raise ConfigError(f"must be one of {', '.join(BACKENDS)}, got {backend!r}", field="similarity.backend")
        self.model, self.same_at = model, same_at
        self.remote = transport is not None or model.startswith(REMOTE_PREFIX)
        self.heavy = not self.remote
        self._cache: TextCache[Embedded] = TextCache(cache_size)
        self._batches: Batches[str, Embedded] = Batches(self._embed)
        self._local = (model, backend, device)
        try:
            self._service = Member(
                model=model.removeprefix(REMOTE_PREFIX),
                name=model,
                transport=transport or "litellm",
                api_base=api_base,
                api_key_env=api_key_env,
                timeout=timeout,
                max_retries=max_retries,
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(first["msg"], field=f"similarity.{first['loc'][0]}") from None
        if self.remote:
            self.members = (self._service,)

    def prepare(self) -> None:
        """Load a local model; look for the key of a service."""
        if self.remote:
            self._request([])
            return
        with local_model("SentenceTransformer", *self._local):
            pass

    def compare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers, in this thread.

        Raises:
            MemberError: If a service fails.
            ConfigError: If a service can be asked by a cascade only.
        """
        texts = [answer_text(answer) for answer in answers]
        known, missing = self._known(texts)
        if not missing:
            return self._comparison(texts, known)
        if not self.remote:
            return self._comparison(texts, known | self._keep(missing, self._batches.wait(missing)))
        if self._service.transport != "litellm":
            raise ConfigError("such a service needs a query that says how to ask it", field="similarity.transport")
        try:
            response = litellm().embedding(**self._request(missing))
        except Exception as error:
            raise provider_error(error, self._service) from error
        return self._answered(texts, known, missing, response)

    async def acompare(self, query: Query, answers: Sequence[Candidate]) -> Comparison:
        """Compare every pair of answers; a cascade's queries know how to ask a service.

        What concurrent queries have a local model embed goes to it in one batch.
        """
        if self.remote and query.embed is None:
            return await asyncio.to_thread(self.compare, query, answers)
        texts = [answer_text(answer) for answer in answers]
        known, missing = self._known(texts)
        if not missing:
            return self._comparison(texts, known)
        if not self.remote or query.embed is None:
            return self._comparison(texts, known | self._keep(missing, await self._batches.gather(missing)))
        found = await query.embed(self._service, missing)
        paid = (PaidCall(self.model, found.cost, found.attempts),)
        if found.failure is not None:
            why = str(found.failure).removeprefix(f"{self.model}: ")
            return await in_place_of(self, why, query, answers, paid)
        new = self._keep(missing, [Embedded(vector) for vector in np.array(found.vectors, dtype=np.float64)])
        try:
            return self._comparison(texts, known | new, paid)
        except MalformedReplyError as error:
            return await in_place_of(self, str(error).removeprefix(f"{self.model}: "), query, answers, paid)

    async def avectors(self, texts: Sequence[str]) -> FloatArray:
        """Return a local model's vector for each text, (n, width); texts of concurrent callers go to it in one batch.

        Raises:
            ConfigError: If the model is a service's, or cannot be loaded.
            MissingDependencyError: If sentence-transformers is not installed.
        """
        if self.remote:
            raise ConfigError(f"{self.model} is a service; a model of one's own is needed", field="similarity.model")
        known, missing = self._known(texts)
        if missing:
            known |= self._keep(missing, await self._batches.gather(missing))
        return np.stack([known[text].vector for text in texts])

    def _embed(self, texts: list[str]) -> list[Embedded]:
        return _encode(texts, *self._local)

    def _known(self, texts: Sequence[str]) -> tuple[dict[str, Embedded], list[str]]:
        """Return what is kept of the texts, and the texts that are not, each once."""
        found = {text: self._cache.get(text) for text in texts}
        known = {text: embedded for text, embedded in found.items() if embedded is not None}
        return known, [text for text, embedded in found.items() if embedded is None]

    def _keep(self, texts: Sequence[str], embedded: Sequence[Embedded]) -> dict[str, Embedded]:
        for text, one in zip(texts, embedded, strict=True):
            self._cache.put(one, text)
        return dict(zip(texts, embedded, strict=True))

    def _comparison(
        self, texts: Sequence[str], known: dict[str, Embedded], paid: tuple[PaidCall, ...] = ()
    ) -> Comparison:
        vectors = [known[text].vector for text in texts]
        if len({len(vector) for vector in vectors}) > 1:
            self._cache.clear()
            message = "its vectors have another length than before; they are asked for anew"
            raise MalformedReplyError(message, member=self.model)
        matrix = cosines(np.stack(vectors))
        cut = sum(known[text].cut for text in texts)
        notes = (
            (f"{cut} of {len(texts)} answers were longer than {self.model} reads and lost their end",) if cut else ()
        )
        return Comparison(matrix, f"embedding by {self.model}", paid, notes, same_at=self.same_at)

    def _request(self, texts: list[str]) -> dict[str, Any]:
        service = self._service
        key = service.key()
        if service.api_key_env is not None and not key:
            message = f"the environment variable {service.api_key_env} is not set; it is to hold the key"
            raise AuthenticationError(message, member=self.model)
        request = {
            "model": service.model,
            "input": texts,
            "api_base": service.api_base,
            "api_key": key,
            "timeout": service.timeout,
            "max_retries": service.max_retries,
            "cache": {"no-cache": True, "no-store": True},
        }
        return {name: value for name, value in request.items() if value is not None}

    def _answered(
        self, texts: Sequence[str], known: dict[str, Embedded], missing: Sequence[str], response: Any
    ) -> Comparison:
        try:
            rows = sorted(response.data, key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float64)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MalformedReplyError("the service's reply holds no vectors", member=self.model) from error
        if vectors.ndim != 2 or len(vectors) != len(missing) or not np.isfinite(vectors).all():
            raise MalformedReplyError(f"asked for {len(missing)} vectors, got {len(rows)}", member=self.model)
        cost = getattr(response, "_hidden_params", {}).get("response_cost")
        paid = PaidCall(self.model, None if cost is None else float(cost))
        new = self._keep(missing, [Embedded(vector) for vector in vectors])
        return self._comparison(texts, known | new, (paid,))


def _encode(texts: list[str], name: str, backend: str, device: str | None) -> list[Embedded]:
    """Embed texts locally, in one batch."""
    with local_model("SentenceTransformer", name, backend, device) as model:
        vectors = model.encode(texts, convert_to_numpy=True, show_progress_bar=False)
        cut = too_long(model.tokenizer, model.max_seq_length, texts)
    return [Embedded(np.asarray(vector, dtype=np.float64), lost) for vector, lost in zip(vectors, cut, strict=True)]
