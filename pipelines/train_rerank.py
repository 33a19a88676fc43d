"""Train the second stage's trees, and report them on questions that they were not trained on.

    python pipelines/train_rerank.py --indexes /tmp/indexes
    python pipelines/train_rerank.py --indexes /tmp/indexes --embedder bge-small --out FILE

Protocol. The trees are trained on the candidates of questions with known gold passages. All sets
are asked in the hard setting (hard_setting.py: their passages and those of wiki_43k in one index);
of the two largest only the first passages, and the questions whose gold is among them. Each set is
also asked among its own passages alone, with titles and with all titles taken away, so that the
trees learn small corpora and texts without titles too; the report's averages of these are over the
first set of each family (MuSiQue, HotpotQA, 2WikiMultiHopQA).

The report scores a set by trees that never saw the question, in two ways: "family left out" were
trained on the other families; "cross-validated" are those of a fold of four, and questions that
share a gold passage, in whatever setting, are in the same fold. The parameters that are written
come from all sets. The conversations of locomo_dev3 are never trained on. Number and depth of trees
and number of names were chosen among a dozen tries by the cross-validated scores of the hard
setting, which therefore flatter by some tenths. Indexing takes about an hour on two cores, more
than another with --embedder bge-small; asking and training ten minutes for each.

The trees know the cosines of the default embedder, and order those of all but the ones that have a
file of their own. With --embedder the same questions are asked by another embedder's index too, and
what is reported and written is the mean of both ensembles: trees of its own cosines alone go wrong
where texts are near duplicates (ranking.md, "bge-small: the mean of two ensembles").
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hard_setting import Corpus, join, key, read_corpus, read_lines
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.ensemble import HistGradientBoostingClassifier

from graphmem import GraphMemory, Passage
from graphmem.config import RetrievalConfig
from graphmem.embedding import load_embedder
from graphmem.searching.second_stage import FEATURES, TreeEnsemble, mixed_log_odds, trees_file
from graphmem.searching.seeds import top_rows

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHIPPED = Path(__file__).resolve().parents[1] / "graphmem" / "searching"
FAMILIES = {
    "musique": ("musique_train100", "musique_train70", "musique_train50b"),
    "hotpot": ("hotpot_train100", "hotpot_train24", "hotpot_train400"),
    "2wiki": ("2wiki_dev146", "2wiki_train1301"),
}
LEARNED = [name for names in FAMILIES.values() for name in names]
FIRST = [names[0] for names in FAMILIES.values()]
MOST_PASSAGES = {"hotpot_train400": 6200, "2wiki_train1301": 2500}
UNSEEN = "locomo_dev3"
HARD, OWN, UNTITLED = "in the hard setting", "among its own", "among its own, without titles"
CUTS = (2, 5, 10)
NOTHING = np.zeros((0, len(FEATURES)), dtype=np.float32)
SEED = 0
FOLDS = 4
DEPTH = 3
TREES = {"max_iter": 450, "learning_rate": 0.05, "min_samples_leaf": 20}


@dataclass(frozen=True)
class Asked:
    """One question after the walk: n candidates, evidence, which of them are gold.

    Attributes:
        evidence: float32 [n, F]; [0, F] where there was no walk.
        relevant: Which candidates are a gold passage, or a piece of one, bool [n].
        documents: The whole passage of each, int64 [n].
        gold: Ids of the gold passages in the hard setting.
        dense: `relevant` and `documents` of the best passages by cosine.
    """

    evidence: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    documents: NDArray[np.int64]
    gold: frozenset[str]
    dense: tuple[NDArray[np.bool_], NDArray[np.int64]]


Sets = dict[tuple[str, str], list[Asked]]
"""Questions by set and setting."""


def main() -> int:
    """Train, report, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--indexes", type=Path, required=True, help="folder that keeps indexes")
    known = ["default", "bge-small"]  # each has a file of its own
    parser.add_argument("--embedder", default="default", choices=known, help="whose trees")
    parser.add_argument("--out", type=Path, help="default: the file that ships")
    arguments = parser.parse_args()
    arguments.indexes.mkdir(parents=True, exist_ok=True)
    config = RetrievalConfig(candidates=40)
    corpus = join(arguments.data, LEARNED, most=MOST_PASSAGES)
    embedders = list(dict.fromkeys([arguments.embedder, "default"]))
    asked = [ask(arguments.data, arguments.indexes, corpus, e, config) for e in embedders]
    unseen = [sets.pop((UNSEEN, OWN)) for sets in asked]
    report = cross_validate(asked, config)
    model = fit(asked)
    report["average"] |= {UNSEEN: score(unseen[0], model, config)}
    fingerprint, *others = [load_embedder(name).fingerprint for name in embedders]
    where = {
        "embedder": fingerprint,
        **({"mean_with_the_trees_of": others} if others else {}),
        "passages_of_the_hard_setting": len(corpus.passages),
    }
    write(model, arguments.out or SHIPPED / trees_file(fingerprint), report, where)
    print(json.dumps(report, indent=1))
    return 0


def ask(data: Path, indexes: Path, corpus: Corpus, embedder: str, config: RetrievalConfig) -> Sets:
    """Ask all questions of all sets, in every setting, by the vectors of one embedder."""
    hard = open_index(indexes, "hard", corpus.passages, embedder)
    sets: Sets = {}
    for name in LEARNED:
        sets[name, HARD] = collect(hard, data / name, corpus.places, corpus, config)
    for name in [*LEARNED, UNSEEN]:
        titled = list(read_corpus(data / name, MOST_PASSAGES.get(name)))
        for setting in (OWN, UNTITLED) if name != UNSEEN else (OWN,):
            passages = [replace(p, title=p.title if setting == OWN else "") for p in titled]
            memory = open_index(indexes, "own", passages, embedder)
            sets[name, setting] = collect(memory, data / name, {}, corpus, config)
    for (name, setting), asked in sets.items():
        print(f"{embedder}, {name} {setting}: {len(asked)} questions", file=sys.stderr)
    return sets


def open_index(indexes: Path, kind: str, passages: list[Passage], embedder: str) -> GraphMemory:
    """The index of these passages by this embedder, made where it is not there yet."""
    name = f"{kind}-{key(passages)}" + f"-{embedder}" * (embedder != "default")
    memory = GraphMemory.open(indexes / name, embedder=embedder)
    memory.add(passages)
    return memory


def collect(
    memory: GraphMemory,
    folder: Path,
    places: Mapping[str, str],
    corpus: Corpus,
    config: RetrievalConfig,
) -> list[Asked]:
    """Gather the evidence of all questions of a set whose gold passages are in `corpus`.

    Args:
        memory: An index.
        folder: The set.
        places: Id of every "set/id" in the index, where it has another.
        corpus: The hard setting.
        config: How to search.
    """
    retriever = memory.retriever
    snapshot = retriever.snapshot
    passages = [snapshot.passage(row) for row in range(snapshot.passages)]
    whole, documents = np.unique([p.document or p.id for p in passages], return_inverse=True)
    asked = []
    for record in read_lines(folder / "questions.jsonl"):
        ids = [f"{folder.name}/{id_}" for id_ in record["gold"]]
        if folder.name != UNSEEN and not all(id_ in corpus.places for id_ in ids):
            continue
        relevant = np.isin(whole, [places.get(id_, id_) for id_ in ids])[documents]
        question = record["question"]
        (dense,) = retriever.trace([question], RetrievalConfig(route="dense"))
        nearest = top_rows(dense.scores, config.candidates)
        (found,) = retriever.candidates([question], config)
        if found is None:  # ranked by cosine
            rows, evidence = nearest, NOTHING
        else:
            rows, (evidence,) = found.rows, retriever.evidence([found])
        asked.append(
            Asked(
                evidence,
                relevant[rows],
                documents[rows],
                frozenset(corpus.places.get(id_, id_) for id_ in ids),
                (relevant[nearest], documents[nearest]),
            )
        )
    return asked


def fit(
    by_embedder: Sequence[Sets],
    without_sets: Collection[str] = (),
    without_gold: Collection[frozenset[str]] = (),
) -> TreeEnsemble:
    """The mean of one ensemble for each embedder, as one.

    Args:
        by_embedder: The same questions, asked by the vectors of m embedders.
        without_sets: Sets that are left out.
        without_gold: Questions that are left out, by their gold passages.
    """
    parts = []
    for sets in by_embedder:
        known = [asked for (name, _), asked in sets.items() if name not in without_sets]
        parts.append(boosted([a for asked in known for a in asked if a.gold not in without_gold]))
    return TreeEnsemble(
        np.concatenate([part.feature for part in parts]),
        np.concatenate([part.threshold for part in parts]),
        np.concatenate([part.value / np.float32(len(parts)) for part in parts]),
        float(np.mean([part.base for part in parts])),
    )


def boosted(asked: Sequence[Asked]) -> TreeEnsemble:
    """Boosted trees on the candidates of all questions."""
    known = [a for a in asked if len(a.evidence)]
    trees = HistGradientBoostingClassifier(
        **TREES,
        max_depth=DEPTH,
        max_leaf_nodes=2**DEPTH,
        early_stopping=False,
        random_state=SEED,
    )
    trees.fit(np.vstack([a.evidence for a in known]), np.concatenate([a.relevant for a in known]))
    return export(trees)


def export(trees: HistGradientBoostingClassifier) -> TreeEnsemble:
    """The same trees as complete heaps of arrays."""
    inner, nodes = 2**DEPTH - 1, 2 ** (DEPTH + 1) - 1
    count = len(trees._predictors)
    feature = np.zeros((count, inner), dtype=np.int64)
    threshold = np.full((count, inner), np.finfo(np.float32).max, dtype=np.float32)
    value = np.zeros((count, nodes), dtype=np.float32)
    for t, (predictor,) in enumerate(trees._predictors):
        tree = predictor.nodes
        mean = _node_means(tree)
        place = {0: 0}
        for node in range(nodes):
            source = place[node]
            value[t, node] = mean[source]
            if node >= inner:
                continue
            if tree["is_leaf"][source]:  # above the last level: both children are itself
                left = right = source
            else:
                left, right = int(tree["left"][source]), int(tree["right"][source])
                feature[t, node] = tree["feature_idx"][source]
                threshold[t, node] = tree["num_threshold"][source]
            place[2 * node + 1], place[2 * node + 2] = left, right
    return TreeEnsemble(feature, threshold, value, float(trees._baseline_prediction.item()))


def _node_means(tree: Any) -> NDArray[np.float64]:
    """Mean of the leaf values below every node, weighted by training samples."""
    mean: NDArray[np.float64] = tree["value"].astype(np.float64)
    weight = tree["count"].astype(np.float64)
    for node in range(tree.size - 1, -1, -1):  # children come after their parent
        if not tree["is_leaf"][node]:
            left, right = tree["left"][node], tree["right"][node]
            mean[node] = (mean[left] * weight[left] + mean[right] * weight[right]) / weight[node]
    return mean


def cross_validate(by_embedder: Sequence[Sets], config: RetrievalConfig) -> dict[str, Any]:
    """Scores of every set in every setting, and their averages over the first sets.

    Args:
        by_embedder: The same questions, asked by one embedder or several; the first is scored.
        config: How they were asked.

    Returns:
        Recalls by kind of ranking and setting, then by set; under "average" by kind and setting.
    """
    sets = by_embedder[0]
    fold = folds(sets)
    ranked: dict[str, dict[tuple[str, str], list[NDArray[np.float64]]]] = {
        "dense": {key_: [dense_recalls(a) for a in asked] for key_, asked in sets.items()},
        "walk": {key_: recalls(asked, None, config) for key_, asked in sets.items()},
        "family left out": {},
        "cross-validated": {key_: [] for key_ in sets},
    }
    for names in FAMILIES.values():
        model = fit(by_embedder, without_sets=names)
        for key_, asked in sets.items():
            if key_[0] in names:
                ranked["family left out"][key_] = recalls(asked, model, config)
    for i in range(FOLDS):
        model = fit(by_embedder, without_gold={gold for gold, at in fold.items() if at == i})
        for key_, asked in sets.items():
            own = [a for a in asked if fold[a.gold] == i]
            ranked["cross-validated"][key_] += recalls(own, model, config)
    report: dict[str, Any] = {}
    for setting in (HARD, OWN, UNTITLED):
        for kind, found in ranked.items():
            report[f"{kind}, {setting}"] = {
                name: _mean(rows) for (name, where), rows in found.items() if where == setting
            }
    report["average"] = {
        kind: {
            f"recall@{k}": round(float(np.mean([scores[n][f"recall@{k}"] for n in FIRST])), 1)
            for k in CUTS
        }
        for kind, scores in report.items()
    }
    return report


def folds(sets: Sets) -> dict[frozenset[str], int]:
    """Fold of every question by its gold passages; who shares one shares the fold."""
    golds = sorted({a.gold for asked in sets.values() for a in asked}, key=sorted)
    ids, number = np.unique([id_ for gold in golds for id_ in sorted(gold)], return_inverse=True)
    question = np.repeat(np.arange(len(golds)), [len(gold) for gold in golds])
    ends = (np.ones(number.size), (question, len(golds) + number))
    size = len(golds) + ids.size
    groups = connected_components(coo_array(ends, shape=(size, size)), directed=False)[1]
    chosen = np.random.default_rng(SEED).integers(FOLDS, size=groups.max() + 1)
    return {gold: int(chosen[groups[i]]) for i, gold in enumerate(golds)}


def score(
    asked: Sequence[Asked], model: TreeEnsemble | None, config: RetrievalConfig
) -> dict[str, float]:
    """Recall in percent; without a model that of the walk."""
    return _mean(recalls(asked, model, config))


def recalls(
    asked: Sequence[Asked], model: TreeEnsemble | None, config: RetrievalConfig
) -> list[NDArray[np.float64]]:
    """Recall of every question at CUTS; without a model that of the walk."""
    found = []
    for a in asked:
        order = np.arange(a.relevant.size)
        if model is not None and len(a.evidence):
            odds = mixed_log_odds(model.scores(a.evidence), a.evidence, config.specificity_half)
            order = top_rows(odds, order.size)
        found.append(_recall(a.relevant[order], a.documents[order], len(a.gold)))
    return found


def dense_recalls(a: Asked) -> NDArray[np.float64]:
    """Recall of dense retrieval at CUTS."""
    return _recall(*a.dense, len(a.gold))


def _recall(
    relevant: NDArray[np.bool_], documents: NDArray[np.int64], gold: int
) -> NDArray[np.float64]:
    """Recall at CUTS of a ranking whose pieces are folded into the best of their passage."""
    first = np.sort(np.unique(documents, return_index=True)[1])
    return np.array([relevant[first[:k]].sum() / gold for k in CUTS])


def _mean(rows: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    means = 100 * np.mean(rows, axis=0)
    return {f"recall@{k}": round(float(mean), 1) for k, mean in zip(CUTS, means, strict=True)}


def write(
    model: TreeEnsemble, path: Path, report: dict[str, Any], where: Mapping[str, Any]
) -> None:
    """Write the parameters with how, and `where`, they were made."""
    data = {
        "made_by": "pipelines/train_rerank.py",
        "seed": SEED,
        "trees": {**TREES, "max_depth": DEPTH},
        **where,
        "data": LEARNED,
        "report": report,
        "features": list(FEATURES),
        "base": model.base,
        "feature": model.feature.tolist(),
        "threshold": _short(model.threshold),
        "value": _short(model.value),
    }
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in data.items())
    path.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


def _short(values: NDArray[np.float32]) -> list[list[float]]:
    return [[float(f"{x:.6g}") for x in row] for row in values]


if __name__ == "__main__":
    sys.exit(main())
