"""The second stage: evidence of candidates, trees as arrays, and what becomes of the ranking."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from graphmem.embedding import load_embedder
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.graph.entity_graph import context_graph
from graphmem.searching.asked_again import AGAIN_FEATURES, again_evidence, next_names, queries
from graphmem.searching.candidates import Candidates
from graphmem.searching.pair_evidence import PAIR_FEATURES, pair_evidence
from graphmem.searching.retriever import Retriever
from graphmem.searching.second_stage import (
    FEATURES,
    TreeEnsemble,
    load_model,
    mixed_log_odds,
    parts_of_log_odds,
    rerank,
    trees_file,
)
from graphmem.searching.walk_evidence import WALK_FEATURES, subject_mentions, walk_evidence
from graphmem.storage.current import open_current

PARAMETERS = files("graphmem.searching")

# Entities 0 (film) in passages 0 and 1, 1 (director) in 0, 1 and 2, 2 (town) in 2 alone.
#   passage 0 is about the film, 1 about the director, 2 about the town
WEIGHTS = csr_array(np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=np.float32))
GRAPH = context_graph(WEIGHTS)
DF = np.array([2, 3, 1], dtype=np.int32)


def candidates(question: list[int]) -> Candidates:
    return Candidates(
        rows=np.array([0, 1, 2]),
        mass=np.array([0.4, 0.2, 0.1], dtype=np.float32),
        cosine=np.array([0.5, 0.7, 0.1], dtype=np.float32),
        lexical=np.array([2, 0, 4], dtype=np.float32),
        vectors=np.eye(3, dtype=np.float32),
        subjects=np.array([0, 1, 2]),
        subject_mass=np.array([0.3, 0.15, 0], dtype=np.float32),
        question=np.array(question, dtype=np.int64),
        question_weights=np.ones(len(question), dtype=np.float32),
        asked="who directed",
        words=np.array([1, 0, 4], dtype=np.float32),
        held=np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]], dtype=np.bool_),
        held_weights=np.array([1, 2, 1], dtype=np.float32),
        names=np.array([1, 2]),
        name_mass=np.array([0.2, 0.1], dtype=np.float32),
    )


NO_LISTS = np.zeros(3, dtype=np.bool_)


def walk(found: Candidates) -> np.ndarray:
    return walk_evidence(GRAPH, DF, found, subject_mentions(GRAPH, found, NO_LISTS))


def column(evidence: np.ndarray, name: str) -> list[float]:
    return evidence[:, FEATURES.index(name)].round(4).tolist()


def test_features_by_hand():
    evidence = walk(candidates([0]))
    assert evidence.shape == (3, len(WALK_FEATURES))
    assert column(evidence, "walk") == pytest.approx([0, -0.6931, -1.3863], abs=1e-4)
    assert column(evidence, "cosine gap") == pytest.approx([-0.2, 0, -0.6], abs=1e-4)
    assert column(evidence, "lexical") == [0.5, 0, 1]
    assert column(evidence, "question entities") == [1, 1, 0]
    assert column(evidence, "question entity weight") == [0.5, 0.5, 0]
    assert column(evidence, "names question") == [1, 0, 0]
    # The director is named by passage 0 (rank 1, weight 1) and 2 (rank 3, weight 1/3).
    assert column(evidence, "mentioned") == pytest.approx([0.5, 1.3333, 0], abs=1e-4)
    assert column(evidence, "mentioned by cosine") == pytest.approx([0.7, 0.5, -0.2], abs=1e-4)
    assert column(evidence, "subject") == pytest.approx([0, -0.6931, -16], abs=1e-4)
    assert column(evidence, "subject df") == pytest.approx(np.log([2, 3, 1]).tolist(), abs=1e-4)
    assert column(evidence, "bridge") == pytest.approx(
        [0, np.log1p(3 / 3), np.log1p(3 / 3)], abs=1e-4
    )
    assert column(evidence, "specificity") == [0.5] * 3
    assert column(evidence, "entities of passage") == [2, 2, 2]


def test_a_passage_without_subject_is_told_apart():
    found = candidates([0])
    bare = replace(
        found, subjects=np.array([-1, -1, -1]), subject_mass=np.zeros(3, dtype=np.float32)
    )
    evidence = walk(bare)
    assert column(evidence, "has subject") == [0, 0, 0]
    assert column(evidence, "mentioned") == [0, 0, 0]
    assert np.isfinite(evidence).all()


def pair(found: Candidates, name: str, listed: np.ndarray = NO_LISTS) -> list[float]:
    evidence = pair_evidence(found, subject_mentions(GRAPH, found, NO_LISTS), listed)
    return evidence[:, PAIR_FEATURES.index(name)].round(4).tolist()


def test_pairs_by_hand():
    """Passages 0 and 1 mention each other's subject, 2 that of 1; vectors are at right angles."""
    found = candidates([0])
    linked = [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert subject_mentions(GRAPH, found, NO_LISTS).tolist() == linked
    # 1 says 0.7 of the question, and 0 half of what that leaves open; and the other way round.
    first, second = np.hypot(0.7, 0.5 / np.sqrt(0.51)), np.hypot(0.5, 0.7 / np.sqrt(0.75))
    third = np.hypot(0.7, 0.1 / np.sqrt(0.51))
    assert pair(found, "pair cosine") == pytest.approx([first, second, third], abs=1e-4)
    gaps = [0, second - first, third - first]
    assert pair(found, "pair cosine gap") == pytest.approx(gaps, abs=1e-4)
    # 0 holds words of 1 and 2 of 4; 1 adds none to these, and with 2 it has them all.
    assert pair(found, "pair words gap") == pytest.approx([-0.25, 0, 0])
    # All words of 0 are new, none of 1, one of the two of 2.
    assert pair(found, "new words") == pytest.approx([1, 0, 0.5])
    # A list of names leaves its words to those after it.
    listed = np.array([True, False, False])
    assert pair(found, "new words", listed) == pytest.approx([1, 1, 1])
    # At one place both say no more than one.
    same = replace(
        found,
        vectors=np.tile(np.array([1, 0, 0], dtype=np.float32), (3, 1)),
        cosine=np.full(3, 0.6, dtype=np.float32),
    )
    assert pair(same, "pair cosine") == pytest.approx([0.6] * 3)


def test_a_passage_without_a_linked_one_is_a_pair_of_its_own():
    found = replace(candidates([0]), subjects=np.array([-1, -1, -1]))
    assert pair(found, "pair cosine") == pytest.approx([0.5, 0.7, 0.1])
    assert pair(found, "pair words gap") == pytest.approx([0, -0.25, -0.25])
    silent = replace(
        found, held=np.zeros((3, 0), dtype=np.bool_), held_weights=np.zeros(0, dtype=np.float32)
    )
    assert pair(silent, "pair words gap") == pair(silent, "new words") == [0, 0, 0]


def stump(threshold: float) -> TreeEnsemble:
    """Two trees of depth 1: above the threshold of the cosine +2, below -1; and a constant."""
    cosine = FEATURES.index("cosine")
    return TreeEnsemble(
        np.array([[cosine], [0]]),
        np.array([[threshold], [1e9]], dtype=np.float32),
        np.array([[0, -1, 2], [0.5, 0.5, 0.5]], dtype=np.float32),
        base=0.25,
    )


def test_trees_by_hand():
    evidence = walk(candidates([0]))
    assert stump(0.6).scores(evidence).tolist() == [-0.25, 2.75, -0.25]
    parts = stump(0.6).contributions(evidence)
    assert parts[:, FEATURES.index("cosine")].tolist() == [-1, 2, -1]
    assert np.count_nonzero(parts) == 3


def test_rerank_orders_candidates_and_keeps_the_rest_below():
    scores = np.array([0.4, 0.2, 0.1, 0.05, 0.0, 0.09], dtype=np.float32)
    found = candidates([0])
    evidence = walk(found)
    odds = mixed_log_odds(stump(0.6).scores(evidence), evidence, 0.05)
    final = rerank(found, odds, scores)
    assert np.argsort(-final, kind="stable").tolist() == [1, 0, 2, 5, 3, 4]
    assert ((final >= 0) & (final <= 1)).all()


@given(st.integers(0, 2**32 - 1))
def test_all_others_keep_their_order_below_the_candidates(seed):
    generator = np.random.default_rng(seed)
    scores = np.sort(generator.random(2000, dtype=np.float32))[::-1] * np.float32(0.01)
    scores[3] = scores[2]  # the best of the rest ties with the last candidate
    odds = generator.normal(0, 5, 3).astype(np.float32)
    final = rerank(candidates([0]), odds, scores)
    assert final[:3].min() > final[3]
    rest = np.lexsort((np.arange(1997), -scores[3:]))
    assert np.array_equal(np.argsort(-final[3:], kind="stable"), rest)
    assert np.array_equal(np.diff(final[3:]) == 0, np.diff(scores[3:]) == 0)


def test_where_the_question_names_hubs_only_the_walk_decides():
    found = candidates([0])
    evidence = walk(found)
    evidence[:, FEATURES.index("specificity")] = 1e-6
    odds = mixed_log_odds(stump(0.6).scores(evidence), evidence, 0.05)
    assert odds == pytest.approx(column(evidence, "walk"), abs=1e-3)
    final = rerank(found, odds, np.zeros(3, dtype=np.float32))
    assert np.argsort(-final).tolist() == [0, 1, 2]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_contributions_sum_to_the_score(seed, count):
    model = load_model("any")
    generator = np.random.default_rng(seed)
    evidence = generator.normal(0, 3, (count, len(FEATURES))).astype(np.float32)
    # The root of every tree predicts its mean, which no step is put down to.
    constant = model.base + float(model.value[:, 0].sum())
    total = model.contributions(evidence).sum(axis=1) + constant
    np.testing.assert_allclose(total, model.scores(evidence), atol=1e-3)
    walk = evidence[:, FEATURES.index("walk")]
    gate = np.float32(0.5)
    evidence[:, FEATURES.index("specificity")] = 0.05
    odds = (1 - gate) * walk + gate * model.scores(evidence)
    parts = parts_of_log_odds(model, evidence, 0.05).sum(axis=1) + gate * constant
    np.testing.assert_allclose(parts, odds, atol=1e-3)


def again(found: Candidates, name: str) -> list[float]:
    """A feature of the second search; the queries point at passages 0, 1 and 2 in turn."""
    evidence, _ = again_evidence(GRAPH, DF, found, np.eye(3, dtype=np.float32))
    return evidence[:, AGAIN_FEATURES.index(name)].round(4).tolist()


def test_the_second_search_by_hand():
    found = candidates([0])
    _, best = again_evidence(GRAPH, DF, found, np.eye(3, dtype=np.float32))
    # All three mention the director, the last one the town too, whose query it fits.
    assert best.tolist() == [0, 0, 1]
    assert again(found, "asked again") == [0, 1, 1]
    assert again(found, "asked again by mass") == pytest.approx([0.2, 1.2, 0.6], abs=1e-4)
    assert again(found, "asked again anyhow") == [0, 1, 1]
    assert again(found, "asked again gap") == [-1, 0, 0]
    assert again(found, "asked again gain") == pytest.approx([-0.5, 0.3, 0.9], abs=1e-4)
    assert again(found, "next name mass") == [1, 1, 0.5]
    assert again(found, "next name df") == pytest.approx([np.log(3), np.log(3), 0], abs=1e-4)
    assert again(found, "next name place") == pytest.approx([0, 0, np.log(3)], abs=1e-4)
    assert again(found, "next name subject") == [0, 1, 0.5]
    # By way of the best other passage with the director: its cosine, plus that of the query.
    assert again(found, "by way of") == pytest.approx([0.7, 1.5, 0.7], abs=1e-4)
    assert again(found, "words lexical") == [0.25, 0, 1]
    assert again(found, "words cosine") == [1, 0, 0]


def test_without_a_next_name_only_the_words_are_asked_again():
    found = replace(
        candidates([0]),
        names=np.zeros(0, dtype=np.int64),
        name_mass=np.zeros(0, dtype=np.float32),
    )
    vectors = np.eye(3, dtype=np.float32)[:1]
    evidence, best = again_evidence(GRAPH, DF, found, vectors)
    assert evidence.shape == (3, len(AGAIN_FEATURES)) and np.isfinite(evidence).all()
    assert best.tolist() == [-1, -1, -1]
    assert evidence[:, AGAIN_FEATURES.index("words cosine")].tolist() == [1, 0, 0]
    alone = replace(
        candidates([0]),
        **{
            name: getattr(found, name)[:1]
            for name in ("rows", "mass", "cosine", "lexical", "vectors", "subjects", "words")
        },
    )
    evidence, _ = again_evidence(GRAPH, DF, alone, np.eye(3, dtype=np.float32))
    assert evidence[0, AGAIN_FEATURES.index("by way of")] == pytest.approx(-0.4)


def test_a_query_is_the_sum_of_words_and_name():
    words = np.array([1, 0], dtype=np.float32)
    names = np.array([[0, 1], [-1, 0]], dtype=np.float32)
    # A name that points away from the words leaves nothing to ask.
    expected = [[1, 0], [0.5**0.5, 0.5**0.5], [0, 0]]
    np.testing.assert_allclose(queries(words, names), expected, rtol=1e-6)
    assert queries(words, names[:0]).tolist() == [[1, 0]]


def test_next_names_are_the_heaviest_that_the_question_does_not_name():
    mass = np.array([0.4, 0.2, 0.1], dtype=np.float32)
    rows, subjects = np.array([0, 1, 2]), np.array([0, 1, 2])
    question = np.array([0])
    names, name_mass = next_names(GRAPH, DF, rows, subjects, question, mass, 0.75)
    assert names.tolist() == [1, 2]
    assert name_mass[0] > name_mass[1] > 0
    # A name of more than a hundredth of the passages, and three, leads everywhere.
    hub = np.array([2, 4, 1], dtype=np.int32)
    names, _ = next_names(GRAPH, hub, rows, subjects, question, mass, 0.75)
    assert names.tolist() == [2]


@pytest.mark.parametrize("embedder", ["default", "bge-small"])
def test_packaged_parameters_say_how_they_were_made_and_serve_their_embedder(embedder):
    fingerprint = load_embedder(embedder).fingerprint
    data = json.loads(PARAMETERS.joinpath(trees_file(fingerprint)).read_text("utf-8"))
    assert data["made_by"] == "pipelines/train_rerank.py"
    assert data["embedder"] == fingerprint
    assert "locomo_dev3" not in data["data"]
    averages = data["report"]["average"]
    for setting in ("in the hard setting", "among its own", "among its own, without titles"):
        unseen, walk = averages[f"family left out, {setting}"], averages[f"walk, {setting}"]
        assert unseen["recall@5"] > walk["recall@5"] > averages[f"dense, {setting}"]["recall@5"]


def test_trees_of_no_other_embedder_are_packaged():
    files_of = {trees_file(load_embedder(name).fingerprint) for name in ("default", "bge-small")}
    packaged = [p.name for p in PARAMETERS.iterdir() if p.name.startswith("second_stage")]
    assert {name for name in packaged if name.endswith(".json")} == files_of


class Named(HashingEmbedder):
    """One that calls itself as it is told."""

    fingerprint = ""

    def __init__(self, fingerprint):
        super().__init__()
        self.fingerprint = fingerprint


@pytest.mark.parametrize(
    ("fingerprint", "file"),
    [
        ("bge-small-en-v1.5:fp32", "second_stage_bge_small.json"),
        ("bge:1", "second_stage.json"),
    ],
)
def test_an_index_is_ordered_by_the_trees_for_its_embedder(tiny_index, fingerprint, file):
    data = json.loads(PARAMETERS.joinpath(file).read_text("utf-8"))
    model = Retriever(open_current(tiny_index), Named(fingerprint)).names.model
    np.testing.assert_array_equal(model.value, TreeEnsemble.parse(data).value)


def test_a_model_for_other_features_is_refused():
    data = {"features": ["walk"], "feature": [], "threshold": [], "value": [], "base": 0}
    with pytest.raises(ValueError, match="train it again"):
        TreeEnsemble.parse(data)
