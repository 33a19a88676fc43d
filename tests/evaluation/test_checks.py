import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphmem.cli.commands import main
from graphmem.errors import DataError
from graphmem.evaluation.datasets.checks import check_dataset, require_sound
from graphmem.evaluation.datasets.dataset import Dataset, JudgedQuestion
from graphmem.types import Passage

QUESTION = {
    "id": "2hop__1_2",
    "question": "Where was the author of The Raft born?",
    "answer": "Lund",
    "paragraphs": [
        {"title": t, "paragraph_text": text, "is_supporting": gold}
        for t, text, gold in (
            ("The Raft", "The Raft is a novel by Ada Berg.", True),
            ("Ada Berg", "Ada Berg was born in Lund.", True),
            ("Lund", "Lund is a town.", False),
        )
    ],
}


def test_check_finds_all_that_is_wrong():
    passages = (
        Passage("a", "A text.", "A"),
        Passage("a", "Other text.", "A"),
        Passage("b", "Same.", "B"),
        Passage("c", "Same.", "B"),
    )
    questions = (
        JudgedQuestion("q", "One?", ("b",), ("yes",)),
        JudgedQuestion("q", "one?", ("b",)),
        JudgedQuestion("empty", "Two?"),
        JudgedQuestion("lost", "Three?", ("zzz",), ("x",)),
        JudgedQuestion("odd", "Four?", ("b",), ("x",), grades={"c": 2}),
    )
    report = check_dataset(Dataset("d", passages, questions))
    found = {finding.what: finding for finding in report.findings}
    assert report.broken
    assert found["passage ids with different texts"].ids == ("a",)
    assert found["question ids come twice"].ids == ("q",)
    assert found["questions with an empty gold list"].ids == ("empty",)
    assert found["questions whose gold is not in the corpus"].ids == ("lost",)
    assert found["questions whose grades are not of their gold"].ids == ("odd",)
    assert found["passages share their text with another"].ids == ("b", "c")
    assert found["passages share their title with another"].ids == ("b", "c")
    assert not found["questions without an answer"].broken
    copies = next(f for what, f in found.items() if "copy that is not gold" in what)
    assert copies.ids == ("b",)
    assert report.counts["gold_coverage"] == 0.5


def test_gold_outside_the_scope_is_an_error():
    passages = (
        Passage("a", "A.", metadata={"scope": "1"}),
        Passage("b", "B.", metadata={"scope": "2"}),
    )
    question = JudgedQuestion("q", "?", ("b",), ("x",), scope="1")
    with pytest.raises(DataError, match="outside their scope"):
        require_sound(Dataset("d", passages, (question,)))


def test_convert_and_check_commands(tmp_path: Path):
    source = tmp_path / "dev.jsonl"
    source.write_text(json.dumps(QUESTION) + "\n")
    out = tmp_path / "converted"
    run = CliRunner().invoke
    done = run(main, ["data", "convert", str(source), str(out), "--format", "musique"])
    assert done.exit_code == 0, done.output
    assert "questions" in done.output
    checked = run(main, ["data", "check", str(out), "--json"])
    assert checked.exit_code == 0
    assert json.loads(checked.stdout)["passages"] == 3
    again = run(main, ["data", "convert", str(source), str(out), "--format", "musique"])
    assert again.exit_code == 2 and again.output.startswith(f"error: {out}")
    (out / "questions.jsonl").write_text('{"id": "x", "question": "?", "gold": ["none"]}\n')
    broken = run(main, ["data", "check", str(out)])
    assert broken.exit_code == 2
    assert "not in the corpus: x" in broken.output
