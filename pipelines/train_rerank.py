"""Train the second stage's trees, and report them leave-one-set-out.

    python pipelines/train_rerank.py --indexes /tmp/indexes

Protocol. The trees are trained on the candidates of questions with known gold passages, of the
development sets and of the same sets with all titles taken away, so that they learn both kinds of
text. For the report every family of sets (MuSiQue, HotpotQA, 2WikiMultiHopQA) is left out in turn,
with all its sets, and scored by trees that never saw it; "with training sets" adds the sets that
are for training only, of the other families. The parameters that are written come from all. The
conversations of locomo_dev3 are never trained on. Depth and number of trees, and the mix with the
walk, were chosen among five and four tries by the average of these same scores, which therefore
flatter by some tenths.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from graphmem import GraphMemory, Passage
from graphmem.config import RetrievalConfig
from graphmem.searching.second_stage import FEATURES, TreeEnsemble, mixed_odds
from graphmem.searching.seeds import top_rows

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
OUT = Path(__file__).resolve().parents[1] / "graphmem" / "searching" / "second_stage.json"
FAMILIES = {
    "musique": ("musique_train100", "musique_train70"),
    "hotpot": ("hotpot_train100", "hotpot_train24"),
    "2wiki": ("2wiki_dev146", "2wiki_train1301"),
}
CUTS = (2, 5, 10)
NOTHING = np.zeros((0, len(FEATURES)), dtype=np.float32)
SEED = 0
DEPTH = 4
TREES = {"n_estimators": 150, "learning_rate": 0.05, "subsample": 0.7}
LEAST_LEAF = 20
# A set counts by its questions, but a large one not more than this many.
MOST_QUESTIONS = 300


@dataclass(frozen=True)
class Asked:
    """One question after the walk: candidates, evidence, which of them are gold."""

    evidence: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    gold: int
    dense: NDArray[np.bool_]


def main() -> int:
    """Train, report, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--indexes", type=Path, required=True, help="folder that keeps indexes")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    arguments.indexes.mkdir(parents=True, exist_ok=True)
    config = RetrievalConfig(candidates=40)
    sets: dict[str, list[Asked]] = {}
    for name in [*(n for names in FAMILIES.values() for n in names), "locomo_dev3"]:
        for titles in (True, False) if name in _first_sets() else (True,):
            key = name if titles else f"{name} without titles"
            sets[key] = collect(arguments.data / name, arguments.indexes, config, titles)
            print(f"{key}: {len(sets[key])} questions", file=sys.stderr)
    report = leave_one_out(sets, config)
    model = fit([a for key, asked in sets.items() if key != "locomo_dev3" for a in sample(asked)])
    report["locomo_dev3, never trained on"] = score(sets["locomo_dev3"], model, config)
    write(model, arguments.out, report)
    print(json.dumps(report, indent=1))
    return 0


def _first_sets() -> list[str]:
    return [names[0] for names in FAMILIES.values()]


def collect(folder: Path, indexes: Path, config: RetrievalConfig, titles: bool) -> list[Asked]:
    """Index a set and gather the evidence of all its questions."""
    memory = GraphMemory.open(indexes / (folder.name + ("" if titles else ".untitled")))
    memory.add(list(read_corpus(folder, titles)))
    retriever = memory.retriever
    snapshot = retriever.snapshot
    ids = np.array([snapshot.passage(row).id for row in range(snapshot.passages)])
    asked = []
    for record in read_lines(folder / "questions.jsonl"):
        question = record["question"]
        (dense,) = retriever.trace([question], RetrievalConfig(route="dense"))
        (found,) = retriever.candidates([question], config)
        if found is None:  # ranked by cosine
            rows, evidence = top_rows(dense.scores, config.candidates), NOTHING
        else:
            rows, evidence = found.rows, retriever.evidence(found)
        asked.append(
            Asked(
                evidence,
                np.isin(ids[rows], record["gold"]),
                len(set(record["gold"])),
                np.isin(ids[top_rows(dense.scores, max(CUTS))], record["gold"]),
            )
        )
    return asked


def read_corpus(folder: Path, titles: bool) -> Iterable[Passage]:
    """Passages of a set, whole."""
    plain = folder / "corpus.jsonl"
    for record in read_lines(plain if plain.exists() else folder / "corpus.jsonl.gz"):
        yield Passage(record["id"], record["text"], record["title"] if titles else "")


def read_lines(path: Path) -> Iterable[dict[str, Any]]:
    """Objects of a JSONL file."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def sample(asked: Sequence[Asked]) -> list[Asked]:
    """At most MOST_QUESTIONS of a set, chosen by the seed."""
    chosen = np.random.default_rng(SEED).permutation(len(asked))[:MOST_QUESTIONS]
    return [asked[i] for i in np.sort(chosen)]


def fit(asked: Sequence[Asked]) -> TreeEnsemble:
    """Boosted trees on the candidates of all questions."""
    known = [a for a in asked if len(a.evidence)]
    evidence = np.vstack([a.evidence for a in known])
    relevant = np.concatenate([a.relevant for a in known])
    trees = GradientBoostingClassifier(
        **TREES, max_depth=DEPTH, min_samples_leaf=LEAST_LEAF, random_state=SEED
    )
    trees.fit(evidence, relevant)
    return export(trees)


def export(trees: GradientBoostingClassifier) -> TreeEnsemble:
    """The same trees as complete heaps of arrays."""
    inner, nodes = 2**DEPTH - 1, 2 ** (DEPTH + 1) - 1
    count = len(trees.estimators_)
    feature = np.zeros((count, inner), dtype=np.int64)
    threshold = np.full((count, inner), np.finfo(np.float32).max, dtype=np.float32)
    value = np.zeros((count, nodes), dtype=np.float32)
    for t, (estimator,) in enumerate(trees.estimators_):
        tree = estimator.tree_
        mean = _node_means(tree)
        place = {0: 0}
        for node in range(nodes):
            source = place[node]
            value[t, node] = trees.learning_rate * mean[source]
            if node >= inner:
                continue
            left, right = int(tree.children_left[source]), int(tree.children_right[source])
            if left < 0:  # a leaf above the last level: both children are itself
                left = right = source
            else:
                feature[t, node] = tree.feature[source]
                threshold[t, node] = tree.threshold[source]
            place[2 * node + 1], place[2 * node + 2] = left, right
    prior = float(trees.init_.class_prior_[1])
    return TreeEnsemble(feature, threshold, value, float(np.log(prior / (1 - prior))))


def _node_means(tree: Any) -> NDArray[np.float64]:
    """Mean of the leaf values below every node, weighted by training samples."""
    mean = np.array(tree.value[:, 0, 0], dtype=np.float64)
    weight = tree.weighted_n_node_samples
    for node in range(tree.node_count - 1, -1, -1):
        left, right = tree.children_left[node], tree.children_right[node]
        if left >= 0:
            mean[node] = (mean[left] * weight[left] + mean[right] * weight[right]) / weight[node]
    return mean


def score(
    asked: Sequence[Asked], model: TreeEnsemble | None, config: RetrievalConfig
) -> dict[str, float]:
    """Recall in percent; without a model that of the walk."""
    totals = dict.fromkeys(CUTS, 0.0)
    for a in asked:
        order = np.arange(a.relevant.size)
        if model is not None and len(a.evidence):
            odds = mixed_odds(model.scores(a.evidence), a.evidence, config.specificity_half)
            order = top_rows(odds, order.size)
        for k in CUTS:
            totals[k] += a.relevant[order[:k]].sum() / a.gold
    return {f"recall@{k}": round(100 * total / len(asked), 1) for k, total in totals.items()}


def dense_score(asked: Sequence[Asked]) -> dict[str, float]:
    """Recall of dense retrieval in percent."""
    return {
        f"recall@{k}": round(100 * sum(a.dense[:k].sum() / a.gold for a in asked) / len(asked), 1)
        for k in CUTS
    }


def leave_one_out(sets: dict[str, list[Asked]], config: RetrievalConfig) -> dict[str, Any]:
    """Scores of every family by trees that never saw it, and their averages."""
    report: dict[str, Any] = {}
    for text in ("", " without titles"):
        keys = {family: names[0] + text for family, names in FAMILIES.items()}
        rows = {
            "dense": {key: dense_score(sets[key]) for key in keys.values()},
            "walk": {key: score(sets[key], None, config) for key in keys.values()},
        }
        for title, training in (("second stage", False), ("with training sets", True)):
            rows[title] = {
                key: score(sets[key], fit(others(sets, family, training)), config)
                for family, key in keys.items()
            }
        for title, scores in rows.items():
            average = {
                f"recall@{k}": round(float(np.mean([s[f"recall@{k}"] for s in scores.values()])), 1)
                for k in CUTS
            }
            report[title + text] = {**scores, "average": average}
    return report


def others(sets: dict[str, list[Asked]], family: str, training: bool) -> list[Asked]:
    """Questions of all sets of the other families."""
    names = [n for f, ns in FAMILIES.items() if f != family for n in (ns if training else ns[:1])]
    return [
        a
        for key, asked in sets.items()
        if key.removesuffix(" without titles") in names
        for a in sample(asked)
    ]


def write(model: TreeEnsemble, path: Path, report: dict[str, Any]) -> None:
    """Write the parameters with how they were made."""
    data = {
        "made_by": "pipelines/train_rerank.py",
        "seed": SEED,
        "trees": {**TREES, "max_depth": DEPTH, "min_samples_leaf": LEAST_LEAF},
        "data": [name for names in FAMILIES.values() for name in names],
        "most_questions_of_a_set": MOST_QUESTIONS,
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
