"""Where the walk restarts, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.config import RetrievalConfig
from graphmem.errors import ConfigError
from graphmem.searching.seeds import choose_seeds, min_max, top_rows

PLAIN = RetrievalConfig(
    entity_share=0.9,
    specificity_half=0.1,
    entity_power=1.0,
    lexical_share=0.0,
    dense_power=1.0,
)
DF = np.array([1, 2, 4, 1000], dtype=np.int32)
COSINE = np.array([0.2, 0.6, 0.4], dtype=np.float32)
NO_WORDS = np.zeros(3, dtype=np.float32)


def seeds(entities, config=PLAIN, cosine=COSINE, lexical=NO_WORDS):
    return choose_seeds(np.array(entities, dtype=np.int64), DF, cosine, lexical, config)


def test_entities_by_hand():
    """Best 1/df 1/2: share 0.9 * 0.5 / (0.5 + 0.1) = 0.75, split 1/2 : 1/4, that is 2 : 1."""
    found = seeds([1, 2])
    assert found.entity_weights == pytest.approx([0.5, 0.25])
    assert found.passage_weights.sum() == pytest.approx(0.25)


def test_passages_by_hand():
    """Cosines 0.2, 0.6, 0.4 scale to 0, 1, 0.5; the least is no seed."""
    found = seeds([])
    assert found.passages.tolist() == [1, 2]
    assert found.passage_weights == pytest.approx([2 / 3, 1 / 3])


def test_words_and_meaning_share_the_passage_part():
    config = RetrievalConfig(lexical_share=0.25, dense_power=1, lexical_power=2)
    found = seeds([], config, lexical=np.array([4, 0, 2], dtype=np.float32))
    # Lexical 1, 0, 0.5 squared: 1, 0, 0.25, sum 1.25.
    expected = [0.25 * 1 / 1.25, 0.75 * 2 / 3, 0.75 / 3 + 0.25 * 0.25 / 1.25]
    assert found.passage_weights == pytest.approx(expected)


def test_without_a_known_word_meaning_takes_all():
    config = RetrievalConfig(lexical_share=0.25, dense_power=1)
    assert seeds([], config).passage_weights == pytest.approx([2 / 3, 1 / 3])


def test_hubs_get_little():
    assert seeds([3]).entity_weights.sum() < 0.01 < 0.8 < seeds([0]).entity_weights.sum()


def test_only_the_best_passages_are_seeds():
    config = RetrievalConfig(lexical_share=0, passage_seeds=1)
    assert seeds([], config).passages.tolist() == [1]


def test_equal_scores_are_all_seeds():
    found = seeds([], cosine=np.full(3, 0.5, dtype=np.float32))
    assert found.passage_weights == pytest.approx([1 / 3] * 3)


@given(
    st.sets(st.integers(0, 3)),
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 30),
)
def test_the_restart_sums_to_one(entities, cosine, share, lexical_share, count):
    config = RetrievalConfig(entity_share=share, lexical_share=lexical_share, passage_seeds=count)
    cosine = np.array(cosine, dtype=np.float32)
    found = seeds(sorted(entities), config, cosine, np.maximum(cosine, 0))
    restart = found.restart_vector(4, cosine.size)
    assert restart.sum() == pytest.approx(1, abs=1e-5)
    assert restart.min() >= 0
    assert set(np.flatnonzero(restart[:4])) <= entities


@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(-2, 40))
def test_top_rows_is_a_stable_sort(scores, count):
    expected = sorted(range(len(scores)), key=lambda row: -scores[row])[: max(count, 0)]
    assert top_rows(np.array(scores, dtype=np.float32), count).tolist() == expected


def test_min_max_without_a_range_is_one():
    assert min_max(np.zeros(3, dtype=np.float32), np.array([0, 2])).tolist() == [1, 1]


@pytest.mark.parametrize(
    "option",
    [
        {"damping": 1.0},
        {"damping": -0.1},
        {"entity_share": 1.1},
        {"lexical_share": -1},
        {"specificity_half": 0},
        {"passage_seeds": 0},
        {"tolerance": 0},
    ],
)
def test_options_out_of_range_are_named(option):
    ((name, value),) = option.items()
    with pytest.raises(ConfigError, match=f"{name} must be .* not {value}"):
        RetrievalConfig(**option)
