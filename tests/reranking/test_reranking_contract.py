"""The contract of graphmem.protocols.Reranker, over every implementation."""

import pickle

import numpy as np
import pytest
from worlds import ODD_TEXTS as TEXTS

from graphmem.errors import ConfigError
from graphmem.protocols import Reranker
from graphmem.reranking import load_reranker

QUESTION = "Who wrote the first query?"


def test_satisfies_the_protocol(reranker):
    assert isinstance(reranker, Reranker)
    assert reranker.fingerprint == reranker.fingerprint != ""


def test_a_finite_float32_for_every_text_in_order(reranker):
    scores = reranker.score(QUESTION, TEXTS)
    assert scores.dtype == np.float32
    assert scores.shape == (len(TEXTS),)
    assert np.isfinite(scores).all()
    assert len(set(scores.tolist())) > 2


def test_nothing_gives_nothing(reranker):
    nothing = reranker.score(QUESTION, [])
    assert nothing.shape == (0,)
    assert nothing.dtype == np.float32


@pytest.mark.parametrize("question", ["", "?", "\ud800", "the ship " * 2000])
def test_any_question_will_do(reranker, question):
    assert np.isfinite(reranker.score(question, TEXTS[:4])).all()


def test_a_score_depends_on_its_own_pair_only(reranker):
    together = reranker.score(QUESTION, TEXTS)
    alone = np.concatenate([reranker.score(QUESTION, [text]) for text in TEXTS])
    order = np.random.default_rng(1).permutation(len(TEXTS))
    many = reranker.score(QUESTION, TEXTS * 60)
    assert together.tobytes() == alone.tobytes()
    assert (
        together[order].tobytes() == reranker.score(QUESTION, [TEXTS[i] for i in order]).tobytes()
    )
    assert np.concatenate([together] * 60).tobytes() == many.tobytes()


def test_the_question_matters(reranker):
    texts = ["the ship sails to port", "ada wrote the first query"]
    one, other = (reranker.score(q, texts) for q in ("ship to port", "ada wrote"))
    assert one.tobytes() != other.tobytes()


def test_what_a_model_cannot_read_is_left_out(reranker):
    long = "the ship sails to port " * 400
    one, other = reranker.score(QUESTION, [long, long + "sails ada"]).tolist()
    assert one == other or reranker.fingerprint.startswith("words")


def test_pickles_its_settings(reranker):
    expected = reranker.score(QUESTION, TEXTS[:4])
    data = pickle.dumps(reranker)
    assert len(data) < 1000
    copy = pickle.loads(data)
    assert copy.fingerprint == reranker.fingerprint
    assert copy.score(QUESTION, TEXTS[:4]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("spec", ["", "word", "maxsim:", "maxsim:/no/such", "/no/such/folder"])
def test_unknown_specs_name_the_choices(spec):
    with pytest.raises(ConfigError, match=r"cross-encoder's folder, maxsim"):
        load_reranker(spec)


def test_fingerprints_differ(tiny_folders):
    specs = ["words", "maxsim", f"maxsim:{tiny_folders['embedder']}"]
    specs += [str(tiny_folders[name]) for name in ("bert", "roberta")]
    assert len({load_reranker(spec).fingerprint for spec in specs}) == len(specs)
