"""TREC runs: other programs see our order, whatever the scores and the ids."""

import random

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.errors import DataError
from graphmem.evaluation.datasets.checks import require_sound
from graphmem.evaluation.datasets.dataset import Dataset, JudgedQuestion
from graphmem.evaluation.runs.trec import (
    Question,
    falling_scores,
    read_run,
    write_ranked,
    write_run,
)
from graphmem.evaluation.scores.metrics import score_run
from graphmem.types import Hit, Passage, Ranking

SMALL = st.floats(-(2.0**99), 2.0**99, width=32)


def _order_of_trec_eval(file):
    """Ids by falling 32-bit score, equal ones by falling id, as trec_eval sorts them."""
    runs = {}
    for line in file.read_text("utf-8").splitlines():
        question, _, passage, _, score, _ = line.split()
        runs.setdefault(question, []).append((np.float32(score), passage))
    return {
        question: [id_ for _, id_ in sorted(hits, reverse=True)] for question, hits in runs.items()
    }


@given(st.lists(SMALL, max_size=30), st.booleans())
def test_scores_fall_for_programs_that_read_32_or_64_bits_or_flush_small_numbers(scores, by_size):
    scores = sorted(scores, reverse=True) if by_size else scores
    texts = list(falling_scores(scores))
    assert len(texts) == len(scores)
    narrow, wide = np.array(texts, dtype=np.float32), np.array(texts, dtype=np.float64)
    assert (np.diff(wide) < 0).all()
    flushed = np.where(np.abs(narrow) < np.finfo(np.float32).tiny, np.float32(0), narrow)
    assert (flushed[1:] < flushed[:-1]).all()


def test_scores_that_fall_are_written_as_they_are():
    scores = [3.25, 1 / 3, 1e-7, 0.0, -2.0]
    assert list(falling_scores(scores)) == [f"{score:.9g}" for score in scores]
    below = float(np.nextafter(np.float32(0.5), np.float32(0)))
    assert list(falling_scores([0.5, 0.5])) == ["0.5", f"{below:.9g}"], "the smallest step"


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_scores_that_are_no_numbers_are_refused(score):
    with pytest.raises(ValueError, match="finite 32-bit"):
        list(falling_scores([1.0, score]))


@pytest.mark.parametrize("seed", range(4))
def test_other_programs_score_ties_in_our_order(tmp_path, seed):
    """Few different scores, ids against the order: ties everywhere, as with BM25."""
    draw = random.Random(seed)
    ids = [f"p{number:02}" for number in range(40)]
    judged, ranked = [], []
    for number in range(12):
        draw.shuffle(ids)
        scores = sorted((draw.choice([0.0, 0.1, 0.7, 12.5]) for _ in ids), reverse=True)
        ranked.append((f"q{number}", list(zip(ids, scores, strict=True))))
        judged.append(JudgedQuestion(f"q{number}", "?", tuple(draw.sample(ids, 4))))
    file = tmp_path / "run.trec"
    assert write_ranked(file, ranked) == 12 * 40
    ours = {question: [id_ for id_, _ in hits] for question, hits in ranked}
    assert read_run(file) == ours
    assert _order_of_trec_eval(file) == ours
    names = {
        "recall@5": ir_measures.R @ 5,
        "ndcg@5": ir_measures.nDCG @ 5,
        "precision@5": ir_measures.P @ 5,
        "mrr": ir_measures.RR,
        "map": ir_measures.AP,
    }
    qrels = [ir_measures.Qrel(q.id, gold, 1) for q in judged for gold in q.gold]
    theirs = {
        (metric.query_id, metric.measure): metric.value
        for metric in ir_measures.iter_calc(
            list(names.values()), qrels, ir_measures.read_trec_run(str(file))
        )
    }
    scores = score_run(ours, judged, [5])
    for name, measure in names.items():
        for question, value in zip(scores.questions, scores.column(name), strict=True):
            assert theirs[question, measure] == pytest.approx(value, abs=1e-9), name


def test_the_runs_of_the_command_line_fall_as_well(tmp_path):
    hits = tuple(Hit(n, 1.0, Passage(id_, id_)) for n, id_ in enumerate("acb", start=1))
    ranking = Ranking(question="?", hits=hits, route="lexical")
    file = tmp_path / "run.trec"
    assert write_run(file, [Question("q", "?")], [ranking], 2) == 2
    assert _order_of_trec_eval(file) == {"q": ["a", "c"]}


@pytest.mark.parametrize("separator", [" ", "\t", "\n", "\x1f", "\xa0", "\u2028", "\r\n"])
def test_white_space_in_ids_divides_no_column(tmp_path, separator):
    file = tmp_path / "run.trec"
    write_ranked(file, [(f"q{separator}1", [(f"p{separator}1", 1.0), ("p", 0.5)])])
    (line, _) = file.read_text("utf-8").splitlines()
    assert len(line.split()) == 6
    (ranked,) = read_run(file).values()
    assert ranked[0].startswith("p%") and ranked[0].endswith("1") and ranked[1] == "p"


def test_ids_that_would_be_one_are_refused_and_nothing_is_written(tmp_path):
    file = tmp_path / "run.trec"
    with pytest.raises(DataError, match=r"passages 'a b' and 'a%20b' are both a%20b"):
        write_ranked(file, [("q", [("a b", 1.0)]), ("r", [("a%20b", 1.0)])])
    with pytest.raises(DataError, match=r"questions 'q 1' and 'q%201' are both q%201"):
        write_ranked(file, [("q 1", [("a", 1.0)]), ("q%201", [("a", 1.0)])])
    assert list(tmp_path.iterdir()) == []
    passages = (Passage("a b", "One."), Passage("a%20b", "Two."))
    questions = (JudgedQuestion("q", "?", ("a b",)),)
    with pytest.raises(DataError, match="a TREC run cannot tell apart: a b, a%20b"):
        require_sound(Dataset("d", passages, questions))


@pytest.mark.parametrize(
    "line",
    [
        b"q Q0 p 1 0.5",
        b"q Q0 p 1 0.5 tag more",
        b"q Q0 p first 0.5 tag",
        "q Q0 p ² 0.5 tag".encode(),
        b"q Q0 p 1 high tag",
        b"q Q0 p 1 nan tag",
        b"q Q0 p\xff 1 0.5 tag",
        b"",
    ],
)
def test_a_run_that_is_none_is_named_with_its_line(tmp_path, line):
    file = tmp_path / "run.trec"
    file.write_bytes(b"q Q0 o 1 0.75 tag\n" + line + b"\n")
    with pytest.raises(DataError, match=r"run\.trec:2: expected six columns"):
        read_run(file)


def test_a_missing_run(tmp_path):
    with pytest.raises(DataError, match=r"run\.trec: cannot be read: No such file"):
        read_run(tmp_path / "run.trec")
