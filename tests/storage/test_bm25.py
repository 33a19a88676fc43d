"""BM25 against the formula."""

from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmem.storage.bm25 import K1, B, LexicalIndex, TermCounts, terms

TEXTS = ["the cat sat on the mat", "a dog and a cat, and a dog", "", "東京 dogs", "rye bread"]


def by_hand(texts, question):
    """Robertson's BM25 with Lucene's idf, which is never negative."""
    split = [terms(text) for text in texts]
    mean = sum(map(len, split)) / len(split) or 1
    scores = np.zeros(len(texts))
    for word in terms(question):
        df = sum(word in words for words in split)
        idf = log(1 + (len(texts) - df + 0.5) / (df + 0.5))
        for i, words in enumerate(split):
            tf = Counter(words)[word]
            scores[i] += idf * tf / (tf + K1 * (1 - B + B * len(words) / mean))
    return scores


@pytest.mark.parametrize("question", ["cat", "Cats and dogs?", "dog dog", "東", "bread mat", "x"])
def test_the_formula(question, tmp_path):
    expected = by_hand(TEXTS, question)
    built = LexicalIndex.build(TEXTS)
    assert built.scores(question, len(TEXTS)) == pytest.approx(expected, rel=1e-5)
    built.save(tmp_path / "lexical")
    loaded = LexicalIndex.load(tmp_path / "lexical", built.length)
    assert np.array_equal(loaded.scores(question, 5), built.scores(question, 5))


words = st.text(alphabet="abcd東ก", min_size=1, max_size=3)
texts = st.lists(st.lists(words, max_size=6).map(" ".join), min_size=1, max_size=6)


@settings(deadline=None)
@given(texts, st.lists(words, max_size=4).map(" ".join))
def test_the_formula_on_any_text(texts, question):
    found = LexicalIndex.build(texts).scores(question, len(texts))
    assert found == pytest.approx(by_hand(texts, question), rel=1e-4)


@settings(deadline=None)
@given(texts, texts, texts, st.lists(words, max_size=4).map(" ".join))
def test_what_comes_after_scores_by_the_formula_over_all(first, second, third, question):
    every = first + second + third
    after = TermCounts.of(second).joined(TermCounts.of(third))
    found = LexicalIndex.build(first).extended(len(first), after)
    scores = found.scores(question, len(every))
    assert scores[len(first) :] == pytest.approx(by_hand(every, question)[len(first) :], rel=1e-4)
    built = LexicalIndex.build(first)
    assert np.array_equal(scores[: len(first)], built.scores(question, len(first)))
    assert found.length == LexicalIndex.build(every).length
    chosen = found.select(np.arange(len(every))[1:]).select(np.arange(len(every) - 1)[::2])
    assert np.array_equal(chosen.scores(question, chosen._rows.size), scores[1::2])


@pytest.mark.parametrize("question", ["", "?!", "the", "\0", "zebra", "😀"])
def test_unknown_words_score_nothing(question):
    assert LexicalIndex.build(TEXTS).scores(question, 5).tolist() == [0] * 5


def test_texts_without_words():
    index = LexicalIndex.build(["", "the", "😀"])
    assert index.scores("anything", 3).tolist() == [0, 0, 0]
    assert index.known(["anything"]) == []


def test_terms_keep_other_scripts_and_drop_stop_words():
    assert terms("The running of दिल्ली and b, 5") == ["run", "दिल्ली"]


@given(texts, texts, st.data())
@settings(deadline=None)
def test_who_holds_a_word_scores_by_it(first, second, data):
    """Built, extended and selected alike; a word is as rare as its share of all texts."""
    index = LexicalIndex.build(first).extended(len(first), TermCounts.of(second))
    count = len(first) + len(second)
    kept = np.array(data.draw(st.lists(st.integers(0, count - 1))), dtype=np.int64)
    rows = np.arange(kept.size)[::-1]
    question = " ".join([*first, *second, "unheard"])
    held, weights = index.select(kept).held(question, rows)
    words = sorted({word for text in (*first, *second) for word in terms(text)})
    assert held.shape == (kept.size, len(words)) and weights.shape == (len(words),)
    for place, word in enumerate(words):
        texts = [place for place, text in enumerate([*first, *second]) if word in terms(text)]
        assert held[:, place].tolist() == np.isin(kept[rows], texts).tolist()
        assert weights[place] == pytest.approx(
            log(1 + (count - len(texts) + 0.5) / (len(texts) + 0.5))
        )
