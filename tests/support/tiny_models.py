"""Tiny models with random weights that tests build and save: the code that loads models is real, the models are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def _base(folder: Path, words: Iterable[str], reads: int, width: int = 32, layers: int = 2) -> dict[str, Any]:
    """Save a word-piece tokenizer of the words, and return the shape of a small BERT that reads so many tokens."""
    import torch
    from transformers import BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(words))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=reads).save_pretrained(folder)
    torch.manual_seed(0)
    return {
        "vocab_size": len(vocabulary), "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": max(2, width // 32), "intermediate_size": width if width < 64 else 4 * width,
        "max_position_embeddings": reads,
    }  # fmt: skip


def sentence_model(folder: Path, words: Iterable[str], reads: int = 16) -> Path:
    """Build a sentence-transformers embedding model with mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    shape = _base(folder / "base", words, reads)
    BertModel(BertConfig(**shape)).save_pretrained(folder / "base")
    transformer = Transformer(str(folder / "base"), max_seq_length=reads)
    SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu").save(str(folder / "model"))
    return folder / "model"


def cross_encoder(
    folder: Path, words: Iterable[str], labels: Sequence[str], reads: int = 64, width: int = 32, layers: int = 2
) -> Path:
    """Build a cross-encoder with these labels; its weights are large enough to tell texts apart."""
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification

    shape = _base(folder / "base", words, reads, width, layers)
    names = dict(enumerate(labels))
    config = BertConfig(**shape, id2label=names, label2id={name: index for index, name in names.items()})
    config.initializer_range = 0.5
    BertForSequenceClassification(config).save_pretrained(folder / "base")
    CrossEncoder(str(folder / "base"), device="cpu", max_length=reads).save(str(folder / "model"))
    return folder / "model"
