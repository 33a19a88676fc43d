"""Rerankers: a question and texts to scores, one file for each implementation."""

from __future__ import annotations

from pathlib import Path

from graphmem.errors import ConfigError
from graphmem.protocols import Reranker


def load_reranker(spec: str) -> Reranker:
    """The reranker that a word of the command line or of a configuration names.

    Args:
        spec: The path of a cross-encoder's folder; "maxsim" (late interaction over the token
            vectors of the default embedder), "maxsim:FOLDER" (over those of another model); or
            "words" (no model).

    Raises:
        ConfigError: `spec` is none of these, or the folder holds no model that can be run.
    """
    if spec == "words":
        from graphmem.reranking.words import WordReranker

        return WordReranker()
    kind, colon, folder = spec.partition(":")
    if kind == "maxsim" and (not colon or (folder and Path(folder).is_dir())):
        from graphmem.reranking.maxsim import MaxSimReranker

        return MaxSimReranker(folder or None)
    if spec and Path(spec).is_dir():
        from graphmem.reranking.cross_encoder import CrossEncoder

        return CrossEncoder(spec)
    raise ConfigError(
        f"unknown reranker {spec!r}: expected the path of a cross-encoder's folder, maxsim,"
        " maxsim:FOLDER, or words"
    )
