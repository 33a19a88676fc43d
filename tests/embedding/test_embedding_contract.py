"""The contract of graphmem.protocols.Embedder, over every implementation."""

import pickle

import numpy as np
import pytest
from worlds import ODD_TEXTS as TEXTS

from graphmem.embedding import load_embedder
from graphmem.errors import ConfigError
from graphmem.protocols import Embedder


def test_satisfies_the_protocol(embedder):
    assert isinstance(embedder, Embedder)
    assert embedder.fingerprint == embedder.fingerprint
    assert embedder.max_tokens > 1


def test_unit_float32_rows_in_order(embedder):
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == len(TEXTS)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_gives_no_rows(embedder):
    nothing = embedder.embed([])
    assert nothing.shape[0] == 0
    assert nothing.ndim == 2
    assert nothing.dtype == np.float32
    assert embedder.count_tokens([]) == []


def test_a_vector_depends_on_its_own_text_only(embedder):
    together = embedder.embed(TEXTS)
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    order = np.random.default_rng(1).permutation(len(TEXTS))
    shuffled = embedder.embed([TEXTS[i] for i in order])
    doubled = embedder.embed(TEXTS + TEXTS)
    assert together.tobytes() == alone.tobytes()
    assert together[order].tobytes() == shuffled.tobytes()
    assert np.concatenate([together, together]).tobytes() == doubled.tobytes()


@pytest.mark.parametrize("kind", ["passage", "question"])
def test_pickles_its_settings(embedder, kind):
    expected = embedder.embed(TEXTS[:4], kind)
    data = pickle.dumps(embedder)
    assert len(data) < 1000
    assert b"secret" not in data
    copy = pickle.loads(data)
    assert copy.fingerprint == embedder.fingerprint
    assert copy.embed(TEXTS[:4], kind).tobytes() == expected.tobytes()


def test_counts_tokens_without_truncation(embedder):
    short, long, empty = embedder.count_tokens(["the ship", "the ship " * 2000, ""])
    assert 0 <= empty <= short <= 8
    assert long >= 4000


def test_texts_that_differ_get_other_vectors(embedder):
    vectors = embedder.embed(["Ada wrote", "the ship sails"])
    assert abs(float(vectors[0] @ vectors[1])) < 0.99


@pytest.mark.parametrize("spec", ["", "defualt", "openai:", "/no/such/folder"])
def test_unknown_specs_name_the_choices(spec):
    with pytest.raises(ConfigError, match=r"default, int8, e5-small, bge-small, hashing, openai"):
        load_embedder(spec)


def test_fingerprints_differ(tiny_model):
    specs = ["default", "int8", "e5-small", "bge-small", "hashing", "openai:a", "openai:b"]
    specs.append(str(tiny_model))
    assert len({load_embedder(spec).fingerprint for spec in specs}) == len(specs)
    assert load_embedder("default").fingerprint == load_embedder("all-MiniLM-L6-v2").fingerprint
