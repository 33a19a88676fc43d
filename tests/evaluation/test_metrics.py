import random
from typing import Any

import ir_measures
import numpy as np
import pytest

from graphmem.evaluation.datasets.dataset import JudgedQuestion
from graphmem.evaluation.scores.answers import exact_match, f1, normalise_answer
from graphmem.evaluation.scores.bootstrap import holm, interval, resampled_means
from graphmem.evaluation.scores.metrics import by_group, measure_names, score_run


def _world(seed: int, questions: int = 40) -> tuple[list[JudgedQuestion], dict[str, list[str]]]:
    """Random gold and random rankings; some questions are missing from the run."""
    random_ = random.Random(seed)
    passages = [f"p{i}" for i in range(60)]
    judged, run = [], {}
    for number in range(questions):
        gold = random_.sample(passages, random_.randint(1, 5))
        grades = {gold[0]: 3} if number % 3 == 0 else {}
        judged.append(JudgedQuestion(f"q{number}", "?", tuple(gold), grades=grades))
        if number % 7:
            run[f"q{number}"] = random_.sample(passages, random_.randint(1, 50))
    return judged, run


def _oracle(judged: list[JudgedQuestion], run: dict[str, list[str]], measure: Any) -> float:
    """Aggregate of ir_measures over the same, as anyone would compute it from a run file."""
    qrels = [ir_measures.Qrel(q.id, gold, q.grades.get(gold, 1)) for q in judged for gold in q.gold]
    ranked = [
        ir_measures.ScoredDoc(id_, passage, 1000.0 - rank)
        for id_, passages in run.items()
        for rank, passage in enumerate(passages)
    ]
    return ir_measures.calc_aggregate([measure], qrels, ranked)[measure]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("recall@5", ir_measures.R @ 5),
        ("precision@10", ir_measures.P @ 10),
        ("ndcg@10", ir_measures.nDCG @ 10),
        ("mrr", ir_measures.RR),
        ("map", ir_measures.AP),
    ],
)
def test_standard_measures_equal_those_of_ir_measures(ours: str, theirs: Any, seed: int):
    judged, run = _world(seed)
    means = score_run(run, judged, [5, 10]).means()
    assert means[ours] == pytest.approx(_oracle(judged, run, theirs), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_measures_equal_those_of_pytrec_eval(seed: int):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    judged, run = _world(seed)
    qrels = {q.id: {gold: q.grades.get(gold, 1) for gold in q.gold} for q in judged}
    ranked = {
        id_: {p: 1000.0 - rank for rank, p in enumerate(passages)} for id_, passages in run.items()
    }
    names = {"recall_5", "ndcg_cut_10", "map", "recip_rank", "P_10"}
    found = pytrec_eval.RelevanceEvaluator(qrels, names).evaluate(ranked)
    scores = score_run(run, judged, [5, 10])
    pairs = {"recall@5": "recall_5", "ndcg@10": "ndcg_cut_10", "map": "map", "mrr": "recip_rank"}
    for ours, theirs in {**pairs, "precision@10": "P_10"}.items():
        column = dict(zip(scores.questions, scores.column(ours), strict=True))
        for id_, values in found.items():
            assert column[id_] == pytest.approx(values[theirs], abs=1e-6), (ours, id_)


def test_recall_is_a_share_and_all_gold_is_all_or_nothing():
    judged = [JudgedQuestion("a", "?", ("x", "y")), JudgedQuestion("b", "?", ("x",))]
    scores = score_run({"a": ["x", "n", "y"], "b": ["x"]}, judged, [2, 3])
    assert scores.column("recall@2").tolist() == [0.5, 1.0]
    assert scores.column("all_gold@2").tolist() == [0.0, 1.0]
    assert scores.column("all_gold@3").tolist() == [1.0, 1.0]
    assert scores.column("precision@2").tolist() == [0.5, 0.5]


def test_a_question_missing_from_the_run_scores_0_and_is_named():
    judged = [JudgedQuestion("a", "?", ("x",)), JudgedQuestion("b", "?", ("x",))]
    scores = score_run({"a": ["x"]}, judged, [2])
    assert scores.missing == ("b",)
    assert scores.means()["recall@2"] == 0.5
    assert scores.values[1].tolist() == [0.0] * len(measure_names([2]))


def test_an_empty_run_scores_0():
    judged = [JudgedQuestion("a", "?", ("x",))]
    assert not score_run({}, judged, [5]).values.any()


def test_a_passage_that_comes_twice_counts_once():
    judged = [JudgedQuestion("a", "?", ("x", "y"))]
    assert score_run({"a": ["x", "x", "y"]}, judged, [2]).means()["recall@2"] == 1.0


def test_ids_with_blanks_do_not_matter():
    judged = [JudgedQuestion("a b", "?", ("x\ty",))]
    assert score_run({"a b": ["x\ty"]}, judged, [1]).means()["recall@1"] == 1.0


def test_groups_have_their_counts_and_means():
    judged = [
        JudgedQuestion("a", "?", ("x",), type="bridge", hops=2),
        JudgedQuestion("b", "?", ("x",), type="bridge", hops=3),
        JudgedQuestion("c", "?", ("x",), type="comparison", hops=2),
    ]
    scores = score_run({"a": ["x"], "b": ["y"], "c": ["x"]}, judged, [1])
    types = by_group(scores, judged, "type")
    assert types["bridge"]["questions"] == 2
    assert types["bridge"]["recall@1"] == 0.5
    assert by_group(scores, judged, "hops")["2"]["recall@1"] == 1.0


# Worked by hand from the definitions of SQuAD's evaluate-v1.1.py and MuSiQue's metrics/answer.py:
# lower case, no punctuation of string.punctuation, articles a/an/the dropped, tokens by blanks;
# F1 over multisets; the best of the accepted answers; two empty answers agree.
@pytest.mark.parametrize(
    ("answer", "accepted", "match", "overlap"),
    [
        ("The Beatles", ["Beatles"], 1, 1.0),
        ("beatles.", ["the Beatles"], 1, 1.0),
        ("G. Stanley Hall", ["G Stanley Hall", "Stanley Hall"], 1, 1.0),
        ("Stanley Hall, psychologist", ["G. Stanley Hall"], 0, 2 / 3),
        ("new york new york", ["New York"], 0, 2 * 2 / 6),
        ("York New", ["New York"], 0, 1.0),
        ("in 1999", ["1999", "the year 1999"], 0, 2 / 3),
        ("U.S.A.", ["USA"], 1, 1.0),
        ("twenty-one", ["twentyone"], 1, 1.0),
        ("“Rome”", ["Rome"], 0, 0.0),  # only ASCII punctuation is dropped
        ("yes", ["no"], 0, 0.0),
        ("", ["Rome"], 0, 0.0),
        ("the", ["a"], 1, 1.0),
        ("", [""], 1, 1.0),
        ("Anna", [], 0, 0.0),
        ("theatre", ["the atre"], 0, 0.0),  # articles are whole words
    ],
)
def test_answers_by_hand(answer: str, accepted: list[str], match: int, overlap: float):
    assert exact_match(answer, accepted) == match
    assert f1(answer, accepted) == pytest.approx(overlap)


def test_normalisation_drops_punctuation_before_articles():
    assert normalise_answer("A-an the!") == "aan"


def test_bootstrap_of_a_share_agrees_with_the_normal_interval():
    values = np.zeros((400, 1))
    values[:120] = 1.0  # a share of 0.3: standard error sqrt(0.3 * 0.7 / 400) = 0.0229
    found = interval(0.3, resampled_means(values, seed=1)[:, 0])
    half = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert found.low == pytest.approx(0.3 - half, abs=0.005)
    assert found.high == pytest.approx(0.3 + half, abs=0.005)


def test_paired_difference_uses_the_same_draws():
    random_ = np.random.default_rng(0)
    a = random_.random((50, 1))
    b = a - 0.25  # worse by the same on every question: no doubt at all
    difference = resampled_means(a, 7) - resampled_means(b, 7)
    found = interval(0.25, difference[:, 0])
    assert found.low == pytest.approx(0.25)
    assert found.high == pytest.approx(0.25)
    assert found.p == pytest.approx(2 / 10_001)


def test_p_value_of_a_small_even_set_by_counting():
    # Two questions, differences +1 and -1: resampled means are -1, 0, 0, 1 with equal chance, so
    # 3/4 are <= 0 and 3/4 are >= 0: p is capped at 1.
    drawn = resampled_means(np.array([[1.0], [-1.0]]), seed=3)
    assert np.mean(drawn <= 0) == pytest.approx(0.75, abs=0.02)
    assert interval(0.0, drawn[:, 0]).p == 1.0


def test_holm_by_hand():
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04 not below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_holm_keeps_the_chance_of_a_false_alarm():
    """Of 20 comparisons without a difference, one is below 0.05 in 5 % of cases, not 64 %."""
    random = np.random.default_rng(0)
    tries = random.random((2000, 20))
    alarms = np.mean([min(holm(list(row))) < 0.05 for row in tries])
    assert 0.035 < alarms < 0.065
    assert np.mean(tries.min(axis=1) < 0.05) > 0.6


def test_bootstrap_repeats_by_seed():
    values = np.random.default_rng(5).random((30, 2))
    assert np.array_equal(resampled_means(values, 1), resampled_means(values, 1))
    assert not np.array_equal(resampled_means(values, 1), resampled_means(values, 2))
