"""Rerankers of every kind."""

import pytest
from tiny_models import make_tiny_model

from graphmem.reranking import load_reranker


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory):
    """Two tiny cross-encoders and an embedder, by name."""
    folder = tmp_path_factory.mktemp("rerankers")
    return {
        "bert": make_tiny_model(folder / "bert", head="bert"),
        "roberta": make_tiny_model(folder / "roberta", head="roberta"),
        "embedder": make_tiny_model(folder / "embedder"),
    }


@pytest.fixture(scope="session", params=["words", "bert", "roberta", "maxsim", "maxsim:embedder"])
def reranker(request, tiny_folders):
    """Every implementation."""
    kind, colon, name = request.param.rpartition(":")
    return load_reranker(f"{kind}{colon}{tiny_folders.get(name, name)}")
