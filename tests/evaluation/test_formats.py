"""Small files of every format, written here; the shapes are those of the published sets."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from graphmem.errors import ConfigError, DataError
from graphmem.evaluation.datasets.checks import check_dataset, require_sound
from graphmem.evaluation.datasets.dataset import Dataset, read_own, scope_of, write_own
from graphmem.evaluation.datasets.formats import FORMATS, read_dataset


def _titles(dataset: Dataset, question: int) -> set[str]:
    titles = {passage.id: passage.title for passage in dataset.passages}
    return {titles[gold] for gold in dataset.questions[question].gold}


def _json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def _jsonl(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def _paragraph(title: str, text: str, gold: bool) -> dict[str, Any]:
    return {"idx": 0, "title": title, "paragraph_text": text, "is_supporting": gold}


MUSIQUE = [
    {
        "id": "2hop__1_2",
        "question": "Where was the author of The Raft born?",
        "answer": "Lund",
        "answer_aliases": ["Lund, Sweden"],
        "answerable": True,
        "paragraphs": [
            _paragraph("The Raft", "The Raft is a novel by Ada Berg.", True),
            _paragraph("Ada Berg", "Ada Berg was born in Lund.", True),
            _paragraph("Lund", "Lund is a town.", False),
        ],
    },
    {
        "id": "3hop1__1_2_3",
        "question": "In which province lies the birthplace of the author of The Raft?",
        "answer": "Scania",
        "answer_aliases": [],
        "answerable": True,
        "paragraphs": [
            _paragraph("The Raft", "The Raft is a novel by Ada Berg.", True),
            _paragraph("Ada Berg", "Ada Berg was born in Lund.", True),
            _paragraph("Lund", "Lund is a town in Scania.", True),
        ],
    },
    {
        "id": "2hop__9_9",
        "question": "Unanswerable?",
        "answer": "none",
        "answerable": False,
        "paragraphs": [_paragraph("X", "X is not used.", True)],
    },
]

HOTPOT = [
    {
        "_id": "h1",
        "question": "Are Ada Berg and Bo Ek both writers?",
        "answer": "yes",
        "type": "comparison",
        "level": "easy",
        "supporting_facts": [["Ada Berg", 0], ["Bo Ek", 0], ["Bo Ek", 1]],
        "context": [
            ["Ada Berg", ["Ada Berg is a writer.", " She was born in Lund."]],
            ["Bo Ek", ["Bo Ek is a writer.", " He lives in Malmö."]],
            ["Lund", ["Lund is a town."]],
            ["Empty", []],
        ],
    },
    {
        "_id": "h2",
        "question": "Which town does the writer Bo Ek live in?",
        "answer": "Malmö",
        "type": "bridge",
        "level": "hard",
        "supporting_facts": [["Bo Ek", 1]],
        "context": [["Bo Ek", ["Bo Ek is a writer.", " He lives in Malmö."]]],
    },
]


def test_musique(tmp_path: Path):
    dataset = read_dataset(_jsonl(tmp_path / "dev.jsonl", MUSIQUE), "musique")
    assert dataset.name == "dev"
    assert len(dataset.passages) == 4, "equal paragraphs of two questions are one passage"
    assert [q.id for q in dataset.questions] == ["2hop__1_2", "3hop1__1_2_3"]
    first, second = dataset.questions
    assert first.answers == ("Lund", "Lund, Sweden")
    assert (first.type, first.hops, second.type, second.hops) == ("2hop", 2, "3hop1", 3)
    assert _titles(dataset, 0) == {"The Raft", "Ada Berg"}
    assert "1 unanswerable" in dataset.notes[0]
    require_sound(dataset)


def test_ids_do_not_depend_on_the_order_of_the_questions(tmp_path: Path):
    forth = read_dataset(_jsonl(tmp_path / "a.jsonl", MUSIQUE), "musique")
    back = read_dataset(_jsonl(tmp_path / "b.jsonl", MUSIQUE[::-1]), "musique")
    assert {p.id for p in forth.passages} == {p.id for p in back.passages}
    assert forth.content == back.content


@pytest.mark.parametrize("format_", ["hotpot", "2wiki"])
def test_hotpot_and_2wiki(tmp_path: Path, format_: str):
    dataset = read_dataset(_json(tmp_path / "dev.json", HOTPOT), format_)
    assert len(dataset.passages) == 4, "a paragraph without sentences is its title"
    assert _titles(dataset, 0) == {"Ada Berg", "Bo Ek"}
    assert dataset.questions[0].type == "comparison"
    assert dataset.questions[0].hops == 2
    texts = {p.title: p.text for p in dataset.passages}
    assert texts["Ada Berg"] == "Ada Berg is a writer. She was born in Lund."


def test_hotpot_in_columns_as_hugging_face_has_it(tmp_path: Path):
    record = {
        "id": "h1",
        "question": "Who?",
        "answer": "Bo",
        "type": "bridge",
        "supporting_facts": {"title": ["Bo Ek"], "sent_id": [0]},
        "context": {"title": ["Bo Ek", "Lund"], "sentences": [["Bo."], ["A town."]]},
    }
    dataset = read_dataset(_jsonl(tmp_path / "dev.jsonl", [record]), "hotpot")
    assert _titles(dataset, 0) == {"Bo Ek"}


def test_hotpot_with_a_title_corpus(tmp_path: Path):
    corpus = [
        {"id": 12, "title": "Ada Berg", "text": "Ada."},
        {"id": 13, "title": "Bo Ek", "text": ["Bo.", " Ek."]},
    ]
    records = [{k: v for k, v in record.items() if k != "context"} for record in HOTPOT]
    dataset = read_dataset(
        _json(tmp_path / "dev.json", records),
        "hotpot",
        corpus=_jsonl(tmp_path / "corpus.jsonl", corpus),
    )
    assert dataset.questions[0].gold == ("12", "13")
    assert dataset.questions[1].gold == ("13",)


def test_hipporag_finds_gold_in_its_corpus(tmp_path: Path):
    corpus = [
        {"title": "Bo Ek", "text": "Bo Ek is a writer. He lives in Malmö.", "idx": 0},
        {"title": "Ada Berg", "text": "Ada Berg is a writer.  She was born in Lund.", "idx": 1},
        {"title": "Ada Berg", "text": "Another Ada Berg.", "idx": 2},
    ]
    _json(tmp_path / "wiki_corpus.json", corpus)
    dataset = read_dataset(_json(tmp_path / "wiki.json", HOTPOT), "hipporag")
    assert len(dataset.passages) == 3
    assert set(dataset.questions[0].gold) == {"0", "1"}, "by title and text, blanks do not count"


def test_hipporag_popqa_shape(tmp_path: Path):
    _json(tmp_path / "popqa_corpus.json", [{"title": "Ada", "text": "Ada is a poet.", "idx": 5}])
    record = {
        "id": 7,
        "question": "What is Ada's occupation?",
        "obj": "poet",
        "possible_answers": '["poet", "poetess"]',
        "paragraphs": [{"title": "Ada", "text": "Ada is a poet."}],
    }
    dataset = read_dataset(_json(tmp_path / "popqa.json", [record]), "hipporag")
    assert dataset.questions[0].gold == ("5",)
    assert dataset.questions[0].answers == ("poet", "poetess")


def test_hipporag_says_which_gold_is_missing(tmp_path: Path):
    _json(tmp_path / "wiki_corpus.json", [{"title": "Lund", "text": "A town.", "idx": 0}])
    with pytest.raises(DataError, match=r"wiki\.json: item 1: the gold paragraph 'Ada Berg'"):
        read_dataset(_json(tmp_path / "wiki.json", HOTPOT), "hipporag")


def _beir(folder: Path) -> Path:
    _jsonl(
        folder / "corpus.jsonl",
        [
            {"_id": "d1", "title": "Lund", "text": "A town.", "metadata": {"url": "u"}},
            {"_id": "d2", "title": "", "text": "Another."},
        ],
    )
    queries = [{"_id": "q1", "text": "Town?"}, {"_id": "q2", "text": "Unjudged?"}]
    _jsonl(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    rows = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n"
    (folder / "qrels" / "test.tsv").write_text(rows)
    return folder


def test_beir(tmp_path: Path):
    dataset = read_dataset(_beir(tmp_path / "scifact"), "beir")
    assert dataset.name == "scifact"
    (question,) = dataset.questions
    assert (question.id, question.gold, dict(question.grades)) == ("q1", ("d1",), {"d1": 2})
    assert dataset.passages[0].metadata == {"url": "u"}
    with pytest.raises(DataError, match="the splits here are: test"):
        read_dataset(tmp_path / "scifact", "beir", split="dev")


def test_multihop_rag(tmp_path: Path):
    corpus = [
        {"title": "One", "body": "News one.", "url": "u1", "published_at": "2023-11-01"},
        {"title": "Two", "body": "News two.", "url": "u2", "source": "Paper"},
    ]
    evidence = [{"title": "One", "url": "u1", "fact": "f"}, {"title": "Two", "fact": "g"}]
    questions = [
        {
            "query": "Do both agree?",
            "answer": "Yes",
            "question_type": "comparison_query",
            "evidence_list": evidence,
        },
        {"query": "?", "answer": "x", "question_type": "null_query", "evidence_list": []},
    ]
    _json(tmp_path / "mhr" / "corpus.json", corpus)
    _json(tmp_path / "mhr" / "MultiHopRAG.json", questions)
    dataset = read_dataset(tmp_path / "mhr", "multihop-rag")
    assert _titles(dataset, 0) == {"One", "Two"}
    assert dataset.questions[0].type == "comparison"
    assert dataset.passages[0].metadata["published_at"] == "2023-11-01"
    assert "1 question without evidence" in dataset.notes[0]


LOCOMO = [
    {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ada",
            "speaker_b": "Bo",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ada", "dia_id": "D1:1", "text": "I moved to Lund."},
                {"speaker": "Bo", "dia_id": "D1:2", "text": "Nice!", "blip_caption": "a cat"},
            ],
            "session_2_date_time": "2:00 pm on 9 May, 2023",
            "session_2": [{"speaker": "Ada", "dia_id": "D2:1", "text": "I got a job."}],
        },
        "qa": [
            {"question": "Where to?", "answer": "Lund", "evidence": ["D1:1"], "category": 4},
            {"question": "How?", "answer": 2023, "evidence": ["D1:1; D2:01"], "category": 2},
            {"question": "No?", "adversarial_answer": "x", "evidence": ["D1:2"], "category": 5},
            {"question": "Lost?", "answer": "y", "evidence": ["D9:9"], "category": 1},
        ],
    }
]


def test_locomo_turns(tmp_path: Path):
    dataset = read_dataset(_json(tmp_path / "locomo10.json", LOCOMO), "locomo")
    assert [p.id for p in dataset.passages] == ["conv-1:D1:1", "conv-1:D1:2", "conv-1:D2:1"]
    first = dataset.passages[0]
    assert first.text == "Ada: I moved to Lund."
    assert first.metadata["timestamp"] == "2023-05-08T13:56:00"
    assert scope_of(first) == "conv-1"
    assert "a cat" in dataset.passages[1].text
    single, temporal = dataset.questions
    assert (single.type, single.gold, single.scope) == ("single-hop", ("conv-1:D1:1",), "conv-1")
    assert temporal.gold == ("conv-1:D1:1", "conv-1:D2:1")
    assert temporal.answers == ("2023",)
    notes = " ".join(dataset.notes)
    assert "1 question adversarial left out" in notes
    assert "1 question without evidence left out" in notes
    require_sound(dataset)


def test_locomo_sessions(tmp_path: Path):
    path = _json(tmp_path / "locomo10.json", LOCOMO)
    dataset = read_dataset(path, "locomo", granularity="session")
    assert [p.id for p in dataset.passages] == ["conv-1:D1", "conv-1:D2"]
    assert dataset.questions[1].gold == ("conv-1:D1", "conv-1:D2")


def _longmemeval(id_: str, gold: bool) -> dict[str, Any]:
    turn = {"role": "user", "content": "I adopted a cat."}
    return {
        "question_id": id_,
        "question_type": "single-session-user",
        "question": "Which animal did I adopt?",
        "answer": "a cat",
        "question_date": "2023/05/30 (Tue) 23:40",
        "haystack_session_ids": ["s1", "answer_1"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 02:21"],
        "haystack_sessions": [
            [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}],
            [{**turn, "has_answer": True} if gold else turn],
        ],
        "answer_session_ids": ["answer_1"],
    }


def test_longmemeval(tmp_path: Path):
    records = [_longmemeval("q1", True), _longmemeval("q2", True), _longmemeval("q3_abs", False)]
    path = _json(tmp_path / "longmemeval_s.json", records)
    dataset = read_dataset(path, "longmemeval")
    assert [q.id for q in dataset.questions] == ["q1", "q2"]
    assert dataset.questions[0].gold == ("q1/answer_1/1",)
    assert dataset.questions[0].metadata["timestamp"] == "2023-05-30T23:40:00"
    assert {len(passages) for passages in dataset.scopes.values()} == {3}
    assert dataset.passages[0].metadata["timestamp"] == "2023-05-20T02:21:00"
    sessions = read_dataset(path, "longmemeval", granularity="session")
    assert sessions.questions[0].gold == ("q1/answer_1",)
    require_sound(sessions)


def test_own_format_round_trip(tmp_path: Path):
    dataset = read_dataset(_json(tmp_path / "locomo10.json", LOCOMO), "locomo", "chat")
    write_own(dataset, tmp_path / "chat")
    again = read_own(tmp_path / "chat")
    assert again.content == dataset.content
    assert again.questions == dataset.questions
    assert json.loads((tmp_path / "chat" / "meta.json").read_text())["questions"] == 2


def test_own_format_reads_gzip_and_a_scope_of_another_name(tmp_path: Path):
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"id": "a", "text": "A.", "conversation": 26}\n')
    question = {"id": 1, "question": "A?", "gold": ["a"], "answers": "A", "conversation": 26}
    _jsonl(tmp_path / "questions.jsonl", [question])
    dataset = read_own(tmp_path, scope="conversation")
    assert dataset.questions[0].scope == "26"
    assert list(dataset.scopes) == ["26"]
    assert read_own(tmp_path).questions[0].scope == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"question": "A?", "gold": []}, "expected 'id'"),
        ({"id": 1, "question": " ", "gold": []}, "expected 'question'"),
        ({"id": 1, "question": "A?", "gold": [None]}, "'gold' must be a list of strings"),
        ({"id": 1, "question": "A?", "gold": {}}, "'gold' must be a list of strings"),
        ({"id": 1, "question": "A?", "hops": "two"}, "'hops' must be an integer"),
        ({"id": 1, "question": "A?", "grades": [1]}, "'grades' must be an object"),
    ],
)
def test_bad_questions_are_refused_with_their_line(tmp_path: Path, line: Any, expected: str):
    _jsonl(tmp_path / "corpus.jsonl", [{"id": "a", "text": "A."}])
    _jsonl(tmp_path / "questions.jsonl", [{"id": 0, "question": "Fine?", "gold": ["a"]}, line])
    with pytest.raises(DataError, match=r"questions\.jsonl:2: .*" + expected):
        read_own(tmp_path)


@pytest.mark.parametrize("format_", sorted(FORMATS))
@pytest.mark.parametrize("content", ["", "[]", "{}", '[{"question": 3}]', "nonsense", '["a"]'])
def test_malformed_files_raise_data_errors_or_hold_nothing(
    tmp_path: Path, format_: str, content: str
):
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    names = ("corpus.jsonl", "questions.jsonl", "queries.jsonl", "corpus.json", "MultiHopRAG.json")
    for name in (*names, "set.json", "set_corpus.json", "qrels/test.tsv"):
        (folder / name).write_text(content)
    path = folder if format_ in ("graphmem", "beir", "multihop-rag") else folder / "set.json"
    try:
        dataset = read_dataset(path, format_)
    except DataError:
        return
    assert check_dataset(dataset).broken


def test_unknown_formats_and_options(tmp_path: Path):
    with pytest.raises(ConfigError, match="choose from graphmem"):
        read_dataset(tmp_path, "squad")
    with pytest.raises(ConfigError, match="no option 'split'"):
        read_dataset(tmp_path, "graphmem", split="dev")
    with pytest.raises(DataError, match="no such data set"):
        read_dataset(tmp_path / "missing", "musique")
    with pytest.raises(DataError, match="is a file, this is a folder"):
        read_dataset(tmp_path, "musique")
