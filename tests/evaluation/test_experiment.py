import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from click.testing import CliRunner

from graphmem.cli.commands import main
from graphmem.errors import DataError, ModelError, TooManyFailures
from graphmem.evaluation import experiment as experiment_module
from graphmem.evaluation.datasets.trec_ids import trec_id
from graphmem.evaluation.experiment import rescore, run_experiment
from graphmem.evaluation.runs.context import run_folder
from graphmem.evaluation.runs.recorded import as_json, read_record
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    override,
    preset_variant,
)
from graphmem.evaluation.scores.sheets import ExperimentScores
from graphmem.memory import GraphMemory
from graphmem.storage.current import open_current

HASHING = IndexOptions("hashing")


def _experiment(*paths: Path, presets: tuple[str, ...] = ("default", "bm25"), **more: Any):
    variants = tuple(preset_variant(name, HASHING) for name in presets)
    options = {"baseline": presets[-1], "cutoffs": (2, 5), "explain": 2, "latency": 3, **more}
    return Experiment("e", tuple(DatasetSpec(path) for path in paths), variants, **options)


@pytest.fixture(scope="module")
def done(small: Path, indexes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one small experiment."""
    out = tmp_path_factory.mktemp("results")
    run_experiment(_experiment(small), out, indexes=indexes)
    return out


def _json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def test_the_results_folder_is_complete(done: Path):
    names = {path.name for path in done.iterdir()}
    assert names >= {
        "experiment.json",
        "environment.json",
        "scores.json",
        "explanations.json",
        "report.md",
        "report.html",
        "runs",
    }
    folder = run_folder(done, "small", "default", 0)
    assert {path.name for path in folder.iterdir()} == {
        "run.trec",
        "questions.jsonl",
        "run.json",
        "scores.jsonl",
    }
    run = _json(folder / "run.json")
    assert run["tokens"] == {"prompt": 0, "completion": 0}
    assert run["cost"] == 0.0
    assert run["latency"]["questions"] == 3
    assert run["latency"]["median_ms"] >= run["latency"]["embed_median_ms"]
    assert set(run["index"]["seconds"]) >= {"read", "compute", "assemble"}
    assert run["index"]["whole"]
    experiment = _json(done / "experiment.json")
    assert "damping" in experiment["variants"][0]["config"], "every option is written down"
    environment = _json(done / "environment.json")
    assert {"numpy", "spacy", "graphmem", "onnxruntime"} <= set(environment["packages"])


def test_scores_equal_those_of_ir_measures_on_the_run_file(done: Path, small: Path):
    qrels = [
        ir_measures.Qrel(record["id"], gold, 1)
        for record in map(json.loads, (small / "questions.jsonl").open(encoding="utf-8"))
        for gold in record["gold"]
    ]
    scores = read_record(done / "scores.json", ExperimentScores)
    for variant in ("default", "bm25"):
        run = ir_measures.read_trec_run(str(run_folder(done, "small", variant, 0) / "run.trec"))
        parsed = {
            "recall@2": ir_measures.R @ 2,
            "ndcg@5": ir_measures.nDCG @ 5,
            "mrr": ir_measures.RR,
            "map": ir_measures.AP,
        }
        found = ir_measures.calc_aggregate(list(parsed.values()), qrels, run)
        measures = scores.datasets["small"].variants[variant].measures
        for ours, theirs in parsed.items():
            assert measures[ours].mean == pytest.approx(found[theirs], abs=1e-5), ours


def test_scores_of_a_run_strictly_fall(done: Path):
    for variant in ("default", "bm25"):
        last: tuple[str, float] = ("", 0.0)
        lines = (run_folder(done, "small", variant, 0) / "run.trec").read_text().splitlines()
        for line in lines:
            question, _, _, _, score, _ = line.split()
            assert question != last[0] or float(score) < last[1]
            last = (question, float(score))


def test_finished_runs_are_kept_and_a_killed_experiment_goes_on(
    small: Path, indexes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    searched: list[str] = []
    original = experiment_module.search_run

    def counted(context: Any, run: Any, *rest: Any) -> Any:
        if run.variant.name == "bm25" and len(searched) == 1:
            searched.append("killed")
            raise KeyboardInterrupt
        searched.append(run.variant.name)
        return original(context, run, *rest)

    monkeypatch.setattr(experiment_module, "search_run", counted)
    experiment = _experiment(small)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment, tmp_path, indexes=indexes)
    assert not (tmp_path / "scores.json").exists()
    run_experiment(experiment, tmp_path, indexes=indexes)
    assert searched == ["default", "killed", "bm25"], "default was not searched again"
    run_experiment(experiment, tmp_path, indexes=indexes)
    assert len(searched) == 3, "nothing was searched again"
    changed = replace(experiment.variants[0], config=override("default", {"damping": 0.5}))
    run_experiment(
        replace(experiment, variants=(changed, experiment.variants[1])), tmp_path, indexes=indexes
    )
    assert searched[3:] == ["default"], "another option is another run"


def test_a_half_made_index_goes_on(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original = GraphMemory.add

    def killed(self: GraphMemory, *args: Any, **options: Any) -> Any:
        tell = options["progress"]

        def progress(stage: str, done: int, total: int) -> None:
            tell(stage, done, total)
            if stage == "assemble":
                raise KeyboardInterrupt

        return original(self, *args, **{**options, "progress": progress})

    monkeypatch.setattr(GraphMemory, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(_experiment(small, presets=("bm25",)), tmp_path)
    monkeypatch.setattr(GraphMemory, "add", original)
    scores = run_experiment(_experiment(small, presets=("bm25",)), tmp_path)
    index = scores.datasets["small"].variants["bm25"].index
    assert not index.whole, "the seconds of a build that went on are not those of the whole"


@pytest.mark.parametrize("together", [True, False])
def test_linearrag_gets_sentences_and_pays_for_them_alone(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool
):
    """One index serves both; its cost is told without sentences where they are not wanted."""
    assembled: list[str] = []
    original = GraphMemory.add

    def counted(self: GraphMemory, *args: Any, **options: Any) -> Any:
        assembled.append(self.path.name)
        return original(self, *args, **options)

    monkeypatch.setattr(GraphMemory, "add", counted)
    if not together:
        run_experiment(_experiment(small, presets=("bm25",)), tmp_path)
    scores = run_experiment(_experiment(small, presets=("linearrag", "bm25")), tmp_path)
    assert len(assembled) == (1 if together else 2) and len(set(assembled)) == 1
    entries = scores.datasets["small"].variants
    kept, plain = entries["linearrag"].index, entries["bm25"].index
    assert kept.seconds.keys() - plain.seconds.keys() == {"sentences"}
    assert kept.seconds["sentences"] > 0
    assert kept.bytes > plain.bytes and kept.whole and plain.whole
    (index,) = (path for path in (tmp_path / "indexes").iterdir() if path.is_dir())
    assert open_current(index).sentences is not None
    run_experiment(_experiment(small, presets=("walk", "linearrag")), tmp_path)
    run = _json(run_folder(tmp_path, "small", "walk", 0) / "run.json")
    assert run["index"]["seconds"].keys() == plain.seconds.keys()
    assert run["index"]["bytes"] == plain.bytes
    assert len(assembled) == (1 if together else 2), "the index was found"


def test_sentences_that_broke_off_have_no_seconds_of_the_whole(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run_experiment(_experiment(small, presets=("bm25",)), tmp_path)

    def killed(*args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("graphmem.indexing.indexer.gather_sentences", killed)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(_experiment(small, presets=("linearrag",)), tmp_path)
    scores = run_experiment(_experiment(small, presets=("linearrag",)), tmp_path)
    index = scores.datasets["small"].variants["linearrag"].index
    assert "sentences" in index.seconds and not index.whole


def _failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[str], bool]) -> None:
    original = GraphMemory.search

    def search(self: GraphMemory, question: Any, *rest: Any) -> Any:
        asked = [question] if isinstance(question, str) else question
        if any(fails(text) for text in asked):
            raise ModelError("the model is gone")
        return original(self, question, *rest)

    monkeypatch.setattr(GraphMemory, "search", search)


def test_a_failed_question_is_a_record_and_counts_0(
    small: Path, indexes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    questions = [json.loads(line) for line in (small / "questions.jsonl").open(encoding="utf-8")]
    text, id_ = questions[1]["question"], questions[1]["id"]
    _failing(monkeypatch, lambda asked: asked == text)
    experiment = _experiment(small, presets=("bm25",), fail_on=1)
    scores = run_experiment(experiment, tmp_path, indexes=indexes)
    entry = scores.datasets["small"].variants["bm25"]
    assert entry.failed == {id_: "ModelError: the model is gone"}
    assert entry.missing == (id_,)
    folder = run_folder(tmp_path, "small", "bm25", 0)
    rows = {r["id"]: r for r in map(json.loads, (folder / "scores.jsonl").open(encoding="utf-8"))}
    assert len(rows) == len(questions)
    assert rows[id_]["mrr"] == 0.0
    assert "1 question failed and count 0" in (tmp_path / "report.md").read_text("utf-8")


def test_too_many_failures_stop_the_experiment(
    small: Path, indexes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _failing(monkeypatch, lambda asked: True)
    with pytest.raises(TooManyFailures, match=r"small, bm25: 1 question failed, 0 may"):
        run_experiment(_experiment(small, presets=("bm25",)), tmp_path, indexes=indexes)


def test_rescoring_reads_the_runs_only(
    small: Path, indexes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = run_experiment(_experiment(small), tmp_path, indexes=indexes)
    _failing(monkeypatch, lambda asked: True)
    assert rescore(tmp_path) == first
    folder = run_folder(tmp_path, "small", "bm25", 0)
    lines = (folder / "run.trec").read_text().splitlines(keepends=True)
    gone = lines[0].split()[0]
    (folder / "run.trec").write_text("".join(line for line in lines if line.split()[0] != gone))
    again = rescore(tmp_path).datasets["small"].variants["bm25"]
    assert [trec_id(id_) for id_ in again.missing] == [gone]
    answers = "".join(
        json.dumps({"id": r["id"], "answer": r["answers"][0]}) + "\n"
        for r in map(json.loads, (folder / "questions.jsonl").open(encoding="utf-8"))
    )
    (folder / "answers.jsonl").write_text(answers)
    answered = rescore(tmp_path).datasets["small"].variants["bm25"]
    assert answered.measures["exact_match"].mean == 1.0
    assert answered.measures["f1"].mean == 1.0


def test_rescoring_what_is_no_results_folder(tmp_path: Path):
    with pytest.raises(DataError, match="results folder"):
        rescore(tmp_path)


def test_seeds_are_averaged_and_told(small: Path, tmp_path: Path):
    scores = run_experiment(_experiment(small, presets=("bm25",), seeds=(1, 2)), tmp_path)
    entry = scores.datasets["small"].variants["bm25"]
    assert set(entry.seeds) == {"1", "2"}
    assert entry.seeds["1"] == entry.seeds["2"], "the order of the corpus does not matter"
    report = (tmp_path / "report.md").read_text("utf-8")
    assert "shuffled before indexing (seed 1, 2)" in report


def test_questions_look_within_their_scope(tmp_path: Path):
    data = tmp_path / "chats"
    data.mkdir()
    corpus = [
        {"id": f"{scope}-{n}", "text": f"Ada has a {thing}.", "scope": scope}
        for scope in ("x", "y")
        for n, thing in enumerate(("cat", "dog", "boat"))
    ]
    questions = [
        {"id": s, "question": "Does Ada have a cat?", "gold": [f"{s}-0"], "scope": s}
        for s in ("x", "y")
    ]
    for name, records in (("corpus", corpus), ("questions", questions)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (data / f"{name}.jsonl").write_text(lines)
    experiment = _experiment(data, presets=("bm25",), explain=0)
    scores = run_experiment(experiment, tmp_path / "out")
    assert scores.datasets["chats"].variants["bm25"].measures["mrr"].mean == 1.0
    lines = (run_folder(tmp_path / "out", "chats", "bm25", 0) / "run.trec").read_text().split("\n")
    for line in filter(None, lines):
        question, _, passage, *_ = line.split()
        assert passage.startswith(question)


def test_long_records_are_cut_and_count_once(tmp_path: Path):
    data = tmp_path / "long"
    data.mkdir()
    long = " ".join(f"Ada wrote letter {n} to Bo in Lund." for n in range(40))
    corpus = [{"id": "long", "text": long}, {"id": "other", "text": "Bo lives in Malmö."}]
    questions = [{"id": "q", "question": "Where does Bo live?", "gold": ["other"]}]
    for name, records in (("corpus", corpus), ("questions", questions)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (data / f"{name}.jsonl").write_text(lines)
    variant = preset_variant("dense", IndexOptions("hashing", passage_tokens=16))
    experiment = Experiment("e", (DatasetSpec(data),), (variant,), cutoffs=(2,), depth=2)
    scores = run_experiment(experiment, tmp_path / "out")
    entry = scores.datasets["long"].variants["dense"]
    assert entry.index.passages > 10
    assert entry.measures["recall@2"].mean == 1.0
    run = (run_folder(tmp_path / "out", "long", "dense", 0) / "run.trec").read_text()
    assert sorted(line.split()[2] for line in run.splitlines()) == ["long", "other"]


def test_the_command(small: Path, indexes: Path, tmp_path: Path):
    run = CliRunner().invoke
    out = tmp_path / "out"
    options = ["--embedder", "hashing", "--indexes", str(indexes), "--out", str(out), "-k", "5"]
    done = run(main, ["eval", str(small), "--preset", "bm25", *options])
    assert done.exit_code == 0, done.output
    assert "| bm25 |" in done.stdout
    again = run(main, ["eval", "--rescore", str(out), "--json"])
    assert json.loads(again.stdout)["k"] == [5]
    for option in (("-k", "3"), ("--preset", "walk"), ("--seed", "0"), ("--skip-unjudged",)):
        refused = run(main, ["eval", "--rescore", str(out), *option])
        assert refused.exit_code == 2, option
        assert f"not with {option[0]}:" in refused.stderr
    toml = tmp_path / "e.toml"
    toml.write_text(
        f"datasets = [{str(small)!r}]\npresets = ['bm25']\nk = [5]\n[index]\nembedder = 'hashing'\n"
    )
    filed = run(main, ["eval", str(toml), "--out", str(out), "--indexes", str(indexes)])
    assert filed.exit_code == 0, filed.output
    assert run(main, ["eval", str(toml), "--preset", "dense"]).exit_code == 2
    assert run(main, ["eval"]).exit_code == 2


def test_a_results_folder_is_read_as_it_was_written_or_refused_by_its_field(done: Path):
    file = done / "scores.json"
    scores = read_record(file, ExperimentScores)
    assert as_json(scores) == _json(file)
    assert scores.datasets["small"].variants["default"].latency.questions == 3
    damaged = done.parent / "damaged.json"
    values = _json(file)
    values["datasets"]["small"]["variants"]["bm25"]["cost"] = "much"
    damaged.write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"datasets\.small\.variants\.bm25\.cost: .*number"):
        read_record(damaged, ExperimentScores)
    del values["datasets"]["small"]["passages"]
    values["datasets"]["small"]["variants"] = {}
    damaged.write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"datasets\.small\.passages: Field required"):
        read_record(damaged, ExperimentScores)
