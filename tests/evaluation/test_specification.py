import sys
from pathlib import Path

import pytest

from graphmem.errors import ConfigError, DataError, MissingExtraError
from graphmem.evaluation.experiment import load_datasets, run_experiment
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    preset_variant,
    read_experiment,
)


def _file(tmp_path: Path, small: Path, text: str = "", datasets: str = "") -> Path:
    path = tmp_path / "e.toml"
    path.write_text(f"datasets = [{datasets or repr(str(small))}]\n{text}", encoding="utf-8")
    return path


def test_a_whole_file(tmp_path: Path, small: Path):
    text = """
presets = ["default", "bm25"]
baseline = "bm25"
k = [5, 1]
seeds = [3, 4]
fail_on = 2

[index]
embedder = "hashing"

[[variants]]
name = "far"
preset = "default"
overrides = {damping = 0.9}
index = {passage_tokens = 64, sparse = true}

[ablation]
"no preference" = {preference = 0}
"flat seeds" = {dense_power = 1.0, lexical_power = 1.0}

[sweep]
damping = [0.5, 0.75]
preference = [1.0, 2.0]
"""
    experiment = read_experiment(_file(tmp_path, small, text))
    assert [variant.name for variant in experiment.variants] == [
        "default",
        "bm25",
        "far",
        "no preference",
        "flat seeds",
        "damping=0.5,preference=1.0",
        "damping=0.5,preference=2.0",
        "damping=0.75,preference=1.0",
        "damping=0.75,preference=2.0",
    ]
    assert experiment.cutoffs == (1, 5)
    assert experiment.seeds == (3, 4)
    assert experiment.failures_allowed(100) == 2
    assert {variant.index.embedder for variant in experiment.variants} == {"hashing"}
    assert experiment.variants[2].index.passage_tokens == 64
    assert [variant.index.sparse for variant in experiment.variants[:3]] == [False, False, True]
    assert experiment.variants[2].config.damping == 0.9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('preset = ["default"]', "no key 'preset': did you mean 'presets'"),
        ('presets = ["defualt"]', "no preset 'defualt': did you mean 'default'"),
        ('presets = "default"', "'presets' cannot be 'default'"),
        ("presets = []", "no preset or variant"),
        ('presets = ["dense"]\nbaseline = "bm25"', "no baseline 'bm25'"),
        ('presets = ["dense", "dense"]', "two variants are called 'dense'"),
        ('presets = ["dense"]\nk = [0]', "'k' must be numbers above 0"),
        ('presets = ["dense"]\nk = []', "'k' must be numbers above 0"),
        ('presets = ["dense"]\nk = ["5"]', "'k' must be a list of whole numbers"),
        ('presets = ["dense"]\ndepth = 3', "'depth' (3) is below the largest k (20)"),
        ('presets = ["dense"]\nfail_on = -1', "'fail_on' must be 0 or more"),
        ('presets = ["dense"]\nexplain = true', "'explain' cannot be True"),
        ('presets = ["dense"]\n[index]\nembeder = "x"', "did you mean 'embedder'"),
        ("[sweep]\ndampng = [0.5]", "no option 'dampng': did you mean 'damping'"),
        ("[sweep]\ndamping = 0.5", "'sweep.damping' must be a list"),
        ("[sweep]\ndamping = [1.5]", "damping must be in [0, 0.99], not 1.5"),
        ('[sweep]\ndamping = ["a"]', "the option damping cannot be 'a'"),
        ("[sweep]\ndamping = [true]", "the option damping cannot be True"),
        ("[ablation]\nx = 3", "'ablation.x' must be a table"),
        ("[[variants]]\npreset = 'dense'", "every one of 'variants' needs a name"),
        ("[[variants]]\nname = 'x'\nroute = 'd'", "no key variants. 'route'"),
        ("[[variants]]\nname = 'x'\noverrides = {route = 'walk'}", "route cannot be 'walk'"),
    ],
)
def test_wrong_words_are_named_before_any_work(
    tmp_path: Path, small: Path, text: str, expected: str
):
    with pytest.raises(ConfigError) as error:
        read_experiment(_file(tmp_path, small, text))
    assert expected in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "e.toml"))


def test_wrong_data_set_entries(tmp_path: Path, small: Path):
    for entry, expected in [
        ("{name = 'x'}", "needs a path"),
        ("{path = 'x', fromat = 'beir'}", "did you mean 'format'"),
        ("3", "must be a path or a table"),
    ]:
        with pytest.raises(ConfigError, match=expected):
            read_experiment(_file(tmp_path, small, 'presets = ["bm25"]', entry))


def test_a_missing_or_broken_file(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        read_experiment(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = [")
    with pytest.raises(DataError, match="expected TOML"):
        read_experiment(tmp_path / "bad.toml")


def _experiment(*paths: Path, embedder: str = "hashing", **options: object) -> Experiment:
    variant = preset_variant("bm25", IndexOptions(embedder))
    return Experiment("e", tuple(DatasetSpec(path) for path in paths), (variant,), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ('{"id": 1, "question": "?", "gold": []}', "empty gold list: 1 (skip_unjudged"),
        ('{"id": 1, "question": "?", "gold": ["no"]}', "not in the corpus: 1"),
        ('{"id": 1, "gold": ["a"]}', "expected 'question'"),
        ("", "without questions"),
    ],
)
def test_unsound_data_is_refused_before_any_work(tmp_path: Path, question: str, expected: str):
    data = tmp_path / "set"
    data.mkdir()
    (data / "corpus.jsonl").write_text('{"id": "a", "text": "A."}\n')
    (data / "questions.jsonl").write_text(question + "\n")
    out = tmp_path / "out"
    with pytest.raises(DataError) as error:
        run_experiment(_experiment(data), out)
    assert expected in str(error.value)
    assert not out.exists()


def test_the_second_data_set_is_checked_before_the_first_is_indexed(tmp_path: Path, small: Path):
    out = tmp_path / "out"
    with pytest.raises(DataError, match="no such data set"):
        run_experiment(_experiment(small, tmp_path / "none"), out)
    with pytest.raises(ConfigError, match="unknown embedder 'hashin'"):
        run_experiment(_experiment(small, embedder="hashin"), out)
    with pytest.raises(ConfigError, match="two data sets are called 'small'"):
        run_experiment(_experiment(small, small), out)
    assert not out.exists()


def test_questions_without_gold_can_be_left_out(tmp_path: Path):
    (tmp_path / "corpus.jsonl").write_text('{"id": "a", "text": "A."}\n')
    (tmp_path / "questions.jsonl").write_text(
        '{"id": 1, "question": "?", "gold": []}\n{"id": 2, "question": "!", "gold": ["a"]}\n'
    )
    variant = preset_variant("bm25", IndexOptions("hashing"))
    spec = DatasetSpec(tmp_path, skip_unjudged=True)
    (dataset,) = load_datasets(Experiment("e", (spec,), (variant,)))
    assert [question.id for question in dataset.questions] == ["2"]
    assert dataset.notes == ("1 question without gold left out",)


def test_presets_of_triples_need_an_openie_file(small: Path):
    variant = preset_variant("hipporag2", IndexOptions("hashing"))
    with pytest.raises(ConfigError, match="hipporag2 needs triples"):
        Experiment("e", (DatasetSpec(small),), (variant,))


@pytest.mark.parametrize("library", ["ir_measures", "jinja2"])
def test_a_missing_library_is_named_before_any_work(
    library: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'graphmem\[eval\]'"):
        run_experiment(_experiment(small), tmp_path / "out")
    assert not (tmp_path / "out").exists()
