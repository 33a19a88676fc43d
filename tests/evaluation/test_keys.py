"""What changes a result changes its key: content does, the place of a file does not."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from tiny_models import make_tiny_model

from graphmem.errors import DataError
from graphmem.evaluation.datasets.dataset import Dataset, JudgedQuestion
from graphmem.evaluation.runs.contents import model_content, path_content
from graphmem.evaluation.runs.context import Run, RunContext
from graphmem.evaluation.runs.environment import deciding_files
from graphmem.evaluation.runs.indexes import IndexCache
from graphmem.evaluation.runs.rerankers import rerank_options
from graphmem.evaluation.runs.running import run_key
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    for_dataset,
    preset_variant,
)
from graphmem.types import Passage

PASSAGE = Passage("p", "Ada wrote it.")
DATASET = Dataset("d", (PASSAGE,), (JudgedQuestion("q", "Who?", ("p",)),))


def keys(variant, **options):
    """Key of a run and of its index, as a new process finds them."""
    experiment = Experiment("e", (DatasetSpec(variant.path),), (variant.made,), **options)
    cache = IndexCache(variant.path)
    return (
        run_key(RunContext(experiment, variant.path, cache), Run(DATASET, variant.made)),
        cache.key((PASSAGE,), variant.made.index, 0),
    )


class Made:
    """A variant over a data set in `path`."""

    def __init__(self, path, index, reranker=None, name="bm25"):
        self.path = path
        variant = for_dataset(preset_variant(name, index), DatasetSpec(path))
        self.made = replace(variant, rerank=reranker and rerank_options(str(reranker)))


def openie(folder, object_):
    folder.mkdir(exist_ok=True)
    triples = [["Ada", "wrote", object_]]
    document = {"passage": PASSAGE.text, "extracted_entities": [], "extracted_triples": triples}
    (folder / "openie.json").write_text(json.dumps({"docs": [document]}))
    return Made(folder, IndexOptions("hashing"), name="hipporag2")


def test_triples_count_by_what_the_file_holds(tmp_path):
    first = keys(openie(tmp_path / "a", "letters"))
    assert keys(openie(tmp_path / "b", "letters")) == first
    changed = keys(openie(tmp_path / "a", "poems"))
    assert changed[0] != first[0] and changed[1] != first[1]


def spacy_folder(folder, words):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.json").write_text('{"lang": "en", "name": "own", "version": "1.0"}')
    (folder / "words").write_text(words)
    return Made(folder, IndexOptions("hashing", spacy_model=str(folder)))


def embedder_folder(folder, words):
    if not folder.exists():
        make_tiny_model(folder)
    (folder / "modules_note").write_text(words)
    return Made(folder, IndexOptions(str(folder)))


def reranker_folder(folder, words):
    if not folder.exists():
        make_tiny_model(folder, head="bert")
    (folder / "modules_note").write_text(words)
    return Made(folder, IndexOptions("hashing"), reranker=folder)


@pytest.mark.parametrize("make", [spacy_folder, embedder_folder, reranker_folder])
def test_models_in_folders_count_by_what_the_files_hold(tmp_path, make):
    first = keys(make(tmp_path / "a" / "model", "one"))
    assert keys(make(tmp_path / "b" / "model", "one")) == first
    changed = keys(make(tmp_path / "a" / "model", "other"))
    assert changed[0] != first[0]
    assert (changed[1] == first[1]) == (make is reranker_folder), "it is no part of an index"


def test_learned_words_make_another_index(tmp_path):
    first = keys(Made(tmp_path, IndexOptions("hashing")))
    words = keys(Made(tmp_path, IndexOptions("hashing", sparse=True)))
    assert words[0] != first[0] and words[1] != first[1]
    assert keys(Made(tmp_path, IndexOptions("hashing", sentences=True)))[1] == first[1]


def test_latencies_depend_on_the_largest_cut_off(tmp_path):
    made = Made(tmp_path, IndexOptions("hashing"))
    assert keys(made, cutoffs=(5,))[0] != keys(made, cutoffs=(5, 20))[0]


def test_the_hash_of_a_folder_is_that_of_its_names_and_files(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    (a / "onnx").mkdir(parents=True)
    (a / "config.json").write_text("{}")
    (a / "onnx" / "model").write_bytes(b"1" * 100_000)
    shutil.copytree(a, b)
    first = path_content(a)
    assert path_content(b) == first
    assert model_content(str(a)) == model_content(f"maxsim:{b}") == first
    (b / ".cache").mkdir()
    (b / ".cache" / "note").write_text("x")
    assert path_content(b) == first, "hidden files do not count"
    (b / "onnx" / "model").write_bytes(b"1" * 99_999 + b"2")
    os.utime(b / "onnx" / "model", ns=(1, 1))
    assert path_content(b) != first
    (a / "onnx" / "model").rename(a / "model")
    assert path_content(a) != first
    assert model_content("default") == model_content("maxsim") == model_content("") == ""
    with pytest.raises(DataError, match="none: cannot be read: No such file"):
        path_content(tmp_path / "none")


def test_every_file_of_the_package_that_decides_is_hashed(tmp_path):
    from graphmem.evaluation.runs import environment

    own = deciding_files(environment._ROOT)
    assert {"searching/second_stage.json", "searching/retriever.py", "config.py"} <= set(own)
    assert "evaluation/runs/indexes.py" in own
    assert not {"evaluation/reports/page.html.j2", "cli/eval.py"} & set(own)
    for name in (
        "searching/trees.npy",
        "graph/words.txt",
        "client.py",
        "cli/eval.py",
        "sample/corpus.jsonl",
        "searching/__pycache__/a.cpython-311.pyc",
        "searching/.a.swp",
        "evaluation/reports/page.html.j2",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert list(deciding_files(tmp_path)) == ["client.py", "graph/words.txt", "searching/trees.npy"]
    assert list(deciding_files(tmp_path, ["searching", "graph/words.txt"])) == [
        "cli/eval.py",
        "client.py",
    ]
