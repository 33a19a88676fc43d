"""Embedders of every kind."""

import pytest
from embedding_helpers import link_weights, running_server
from tiny_models import make_tiny_model

from graphmem.embedding import load_embedder, weights
from graphmem.embedding.openai import OpenAIEmbedder


@pytest.fixture
def server(monkeypatch):
    """A fake server to which the environment points."""
    with running_server() as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
        yield found


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def default_cache():
    """The cache with the default model's files, which are fetched if need be."""
    weights.fetch(weights.MINILM)
    return weights.cache_folder()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("GRAPHMEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cache_with_weights(default_cache, cache):
    """A cache that holds the default model's files (linked, not copied), and no built graph."""
    link_weights(weights.MINILM, default_cache, cache)
    return cache


@pytest.fixture(scope="session", params=["default", "int8", "hashing", "folder", "openai"])
def embedder(request):
    """Every implementation."""
    if request.param == "folder":
        yield load_embedder(str(request.getfixturevalue("tiny_model")))
    elif request.param == "openai":
        with pytest.MonkeyPatch.context() as patch, running_server() as found:
            patch.setenv("OPENAI_BASE_URL", found.url)
            patch.setenv("OPENAI_API_KEY", "sk-very-secret")
            yield OpenAIEmbedder("fake", timeout=5, max_retries=0)
    else:
        yield load_embedder(request.param)
