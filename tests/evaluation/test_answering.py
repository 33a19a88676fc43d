import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from graphmem.errors import DataError, ModelError, TooManyFailures
from graphmem.evaluation.datasets.dataset import JudgedQuestion
from graphmem.evaluation.experiment import load_datasets, rescore, run_experiment
from graphmem.evaluation.runs.answering import JUDGE_PROMPT, answer_runs, judged
from graphmem.evaluation.runs.context import run_folder
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    preset_variant,
)
from graphmem.evaluation.scores.sheets import Mean
from graphmem.llm.scripted import ScriptedChat
from graphmem.types import ChatRequest, Price


@pytest.fixture
def done(small: Path, indexes: Path, tmp_path: Path) -> tuple[Path, Experiment]:
    variants = (preset_variant("bm25", IndexOptions("hashing")),)
    experiment = Experiment(
        "e", (DatasetSpec(small),), variants, cutoffs=(5,), fail_on=1, latency=0, explain=0
    )
    run_experiment(experiment, tmp_path, indexes=indexes)
    return tmp_path, experiment


def _reader(answers: dict[str, str]) -> ScriptedChat:
    def reply(request: ChatRequest) -> str | Exception:
        text = request.messages[-1].content
        for question, answer in answers.items():
            if question in text:
                if answer == "!":
                    return ModelError("gone")
                return json.dumps({"answer": answer, "found": True, "passages": [1]})
        return json.dumps({"answer": "", "found": False, "passages": []})

    return ScriptedChat(reply)


def test_answers_are_scored_and_tokens_counted(done: tuple[Path, Experiment]):
    out, experiment = done
    datasets = load_datasets(experiment)
    questions = datasets[0].questions
    script = {questions[0].text: questions[0].answers[0], questions[1].text: "!"}
    judge = ScriptedChat(lambda request: "Correct.")
    answer_runs(
        out,
        datasets,
        _reader(script),
        judge=judge,
        threads=2,
        price=Price(1e6, 0.0),
    )
    entry = rescore(out).datasets["small"].variants["bm25"]
    share = 1 / len(questions)
    for measure in ("exact_match", "f1", "judged"):
        assert entry.measures[measure].mean == pytest.approx(share, abs=1e-5), measure
    assert len(judge.requests) == 1, "no answer, nothing to judge"
    assert entry.tokens.prompt > 0
    assert entry.cost == entry.tokens.prompt
    folder = run_folder(out, "small", "bm25", 0)
    rows = [json.loads(line) for line in (folder / "answers.jsonl").open(encoding="utf-8")]
    assert [bool(row["error"]) for row in rows[:3]] == [False, True, False]


def test_too_many_failed_answers_stop(done: tuple[Path, Experiment]):
    out, experiment = done
    datasets = load_datasets(experiment)
    script = {question.text: "!" for question in datasets[0].questions}
    with pytest.raises(TooManyFailures, match="gone"):
        answer_runs(out, datasets, _reader(script))
    assert not (run_folder(out, "small", "bm25", 0) / "answers.jsonl").exists()


def test_other_data_than_the_runs_are_refused(done: tuple[Path, Experiment]):
    out, experiment = done
    with pytest.raises(DataError, match="not what the runs"):
        answer_runs(out, [load_datasets(experiment)[0].limited(2)], _reader({}))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("correct", 1),
        ("Correct.", 1),
        ("wrong", 0),
        ("incorrect", 0),
        ("**Correct**", 1),
        ("It is not correct", 0),
        ("", 0),
    ],
)
def test_the_judge(word: str, value: int):
    question = JudgedQuestion("q", "Where {was} she born?", ("a",), ("Lund", "Lund, Sweden"))
    chat = ScriptedChat([word])
    assert judged(chat, question, "in Lund") == value
    assert "Lund | Lund, Sweden" in chat.requests[0].messages[0].content
    assert "{question}" in JUDGE_PROMPT


def test_expected_scores_are_marked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "pipelines"))
    try:
        import evaluate_retrieval  # type: ignore[import-not-found]
    finally:
        sys.modules.pop("evaluate_retrieval", None)
    measures = {"recall@2": Mean(0.5, 0.4, 0.6), "recall@5": Mean(0.7, 0.6, 0.8)}
    sheet = SimpleNamespace(measures=measures)
    dataset = SimpleNamespace(variants={"dense": sheet})
    scores = SimpleNamespace(datasets={"d": dataset})
    for expected, verdict in [(50.0, "OK"), (45.0, "OK"), (50.9, "OKish"), (51.1, "FAIL")]:
        (check,) = evaluate_retrieval.compare(scores, {"d": {"dense": {"recall@2": expected}}})
        assert check.verdict == verdict
    (gone,) = evaluate_retrieval.compare(scores, {"d": {"bm25": {"recall@2": 1.0}}})
    assert (gone.verdict, gone.found) == ("FAIL", None)
    assert evaluate_retrieval.recorded(scores)["d"]["dense"]["recall@5"] == 70.0
