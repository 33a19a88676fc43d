"""What pipelines/ records of an experiment, and the tables made of it."""

import doctest
import json
from pathlib import Path

import pytest

from graphmem.evaluation.experiment import run_experiment
from graphmem.evaluation.runs.environment import Environment
from graphmem.evaluation.runs.recorded import read_record
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    Variant,
    override,
    preset_variant,
)

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))


def test_the_examples_of_the_tables_hold():
    import fill_tables

    found = doctest.testmod(fill_tables)
    assert found.attempted >= 10 and not found.failed


def test_an_experiment_becomes_tables(small, indexes, tmp_path):
    import evaluate_retrieval
    import fill_tables

    index = IndexOptions("hashing")
    changes = {"candidates": 0}
    variants = (
        preset_variant("default", index),
        preset_variant("dense", index),
        Variant("no second stage", override("default", changes), "default", changes, index),
    )
    sets = (DatasetSpec(small), DatasetSpec(small, name="again"))
    experiment = Experiment(
        *("tables", sets, variants), cutoffs=(2, 5, 10), baseline="default", latency=2, explain=0
    )
    scores = run_experiment(experiment, tmp_path, indexes=indexes)
    kept = evaluate_retrieval.shown(scores, read_record(tmp_path / "environment.json", Environment))
    kept = json.loads(json.dumps(kept))
    lines = fill_tables.baselines_table(kept).splitlines()
    assert sum(line.startswith("**") for line in lines) == 2
    head = "| preset | recall@2 | recall@5 | recall@10 | all gold@5 | ms | index s | tokens |"
    assert lines.count(head) == 2
    value = scores.datasets["again"].variants["dense"].measures["recall@2"]
    cell = f"{100 * value.mean:.1f} ({100 * value.low:.0f}–{100 * value.high:.0f})"
    assert cell in [line for line in lines if line.startswith("| `dense` ")][1].replace("**", "")
    rows = fill_tables.ablation_table(kept).splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        *("| `default`", "| dense", "| no second stage")
    ]
    lead = scores.average["dense"].against_baseline["recall@5"]
    assert f"{100 * lead.difference:+.1f}" in rows[3].split(" | ")[2]
    assert {row.count(" | ") for row in rows} == {4}
