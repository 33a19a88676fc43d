"""Embedders: texts to unit vectors, one file for each implementation."""

from __future__ import annotations

from pathlib import Path

from graphmem.errors import ConfigError
from graphmem.protocols import Embedder


def load_embedder(spec: str) -> Embedder:
    """The embedder that a word of the command line or of a configuration names.

    Args:
        spec: "default" or "all-MiniLM-L6-v2", "int8" (the same with 8-bit layers), "e5-small" (many
            languages), "bge-small" (English, a larger model), "hashing" (no model), "openai:MODEL",
            or the path of a sentence-transformers folder.

    Raises:
        ConfigError: `spec` is none of these.
        MissingExtraError: The library it needs is not installed.
    """
    if spec in ("default", "all-MiniLM-L6-v2"):
        from graphmem.embedding.onnx import OnnxEmbedder

        return OnnxEmbedder.default()
    if spec == "int8":
        from graphmem.embedding.onnx import OnnxEmbedder

        return OnnxEmbedder.default(precision="int8")
    if spec in ("e5-small", "bge-small"):
        from graphmem.embedding.onnx import OnnxEmbedder, fetched

        return OnnxEmbedder(fetched(spec))
    if spec == "hashing":
        from graphmem.embedding.hashing import HashingEmbedder

        return HashingEmbedder()
    if spec.startswith("openai:") and len(spec) > len("openai:"):
        from graphmem.embedding.openai import OpenAIEmbedder

        return OpenAIEmbedder(spec.removeprefix("openai:"))
    if spec and Path(spec).is_dir():
        from graphmem.embedding.onnx import OnnxEmbedder

        return OnnxEmbedder(spec)
    raise ConfigError(
        f"unknown embedder {spec!r}: expected default, int8, e5-small, bge-small, hashing,"
        " openai:MODEL, or the path of a sentence-transformers folder"
    )
