"""A GGUF of a few kilobytes: a one-layer model with random weights that babbles letters, the same ones every time."""

import random
import struct
from pathlib import Path

_UINT32, _FLOAT32, _STRING, _ARRAY, _INT32 = 4, 6, 8, 9, 5
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_ALIGNMENT = 32

EMBEDDING, HEADS, FEED_FORWARD, CONTEXT = 32, 2, 32, 2048


def write_tiny_gguf(path: Path, seed: int = 1) -> Path:
    """Write the model; different seeds babble differently."""
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "\u2581",
        *"abcdefghijklmnopqrstuvwxyz",
    ]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * 27]
    metadata = [
        ("general.architecture", _STRING, "llama"),
        ("llama.context_length", _UINT32, CONTEXT),
        ("llama.embedding_length", _UINT32, EMBEDDING),
        ("llama.block_count", _UINT32, 1),
        ("llama.feed_forward_length", _UINT32, FEED_FORWARD),
        ("llama.attention.head_count", _UINT32, HEADS),
        ("llama.rope.dimension_count", _UINT32, EMBEDDING // HEADS),
        ("llama.attention.layer_norm_rms_epsilon", _FLOAT32, 1e-5),
        ("tokenizer.ggml.model", _STRING, "llama"),
        ("tokenizer.ggml.tokens", (_ARRAY, _STRING), tokens),
        ("tokenizer.ggml.scores", (_ARRAY, _FLOAT32), [0.0] * len(tokens)),
        ("tokenizer.ggml.token_type", (_ARRAY, _INT32), kinds),
        ("tokenizer.ggml.bos_token_id", _UINT32, 1),
        ("tokenizer.ggml.eos_token_id", _UINT32, 2),
    ]
    tensors = _tensors(random.Random(seed), len(tokens))
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(_string(key) + _value(kind, value) for key, kind, value in metadata)
    offset = 0
    for name, (shape, values) in tensors.items():
        header += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += _padded(4 * len(values))
    body = b"".join(_pad(struct.pack(f"<{len(values)}f", *values)) for _, values in tensors.values())
    path.write_bytes(_pad(header) + body)
    return path


def _tensors(dice: random.Random, vocabulary: int) -> dict[str, tuple[tuple[int, ...], list[float]]]:
    def noise(*shape: int) -> tuple[tuple[int, ...], list[float]]:
        count = 1
        for side in shape:
            count *= side
        return shape, [dice.gauss(0, 1) for _ in range(count)]

    letters = 27
    # Only letters point anywhere, so that no byte and no end is ever the likeliest token.
    silent = [0.0] * EMBEDDING * (vocabulary - letters)
    embedding = silent + noise(EMBEDDING, letters)[1]
    square = (EMBEDDING, EMBEDDING)
    return {
        "token_embd.weight": ((EMBEDDING, vocabulary), embedding),
        "output_norm.weight": ((EMBEDDING,), [1.0] * EMBEDDING),
        "blk.0.attn_norm.weight": ((EMBEDDING,), [1.0] * EMBEDDING),
        "blk.0.attn_q.weight": noise(*square),
        "blk.0.attn_k.weight": noise(*square),
        "blk.0.attn_v.weight": noise(*square),
        "blk.0.attn_output.weight": noise(*square),
        "blk.0.ffn_norm.weight": ((EMBEDDING,), [1.0] * EMBEDDING),
        "blk.0.ffn_gate.weight": noise(EMBEDDING, FEED_FORWARD),
        "blk.0.ffn_up.weight": noise(EMBEDDING, FEED_FORWARD),
        "blk.0.ffn_down.weight": noise(FEED_FORWARD, EMBEDDING),
    }


def _value(kind: int | tuple[int, int], value: object) -> bytes:
    if isinstance(kind, tuple):
        items = b"".join(_plain(kind[1], item) for item in value)
        return struct.pack("<IIQ", kind[0], kind[1], len(value)) + items
    return struct.pack("<I", kind) + _plain(kind, value)


def _plain(kind: int, value: object) -> bytes:
    if kind == _STRING:
        return _string(value)
    return struct.pack({_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f"}[kind], value)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _pad(data: bytes) -> bytes:
    return data.ljust(_padded(len(data)), b"\0")
