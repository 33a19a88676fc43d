"""Answers for the runs of a results folder, by a reader over the passages that each run ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphmem.answering.reader import Reader
from graphmem.errors import DataError, EndpointError, GraphmemError, TooManyFailures
from graphmem.evaluation.datasets.dataset import Dataset, JudgedQuestion, write_lines
from graphmem.evaluation.datasets.trec_ids import trec_id
from graphmem.evaluation.runs.context import run_folder
from graphmem.evaluation.runs.iterating import CountingChat
from graphmem.evaluation.runs.recorded import (
    ExperimentRecord,
    ModelUse,
    ReaderUse,
    RunNumbers,
    Tokens,
    read_record,
    read_records,
    write_record,
)
from graphmem.evaluation.runs.trec import read_run
from graphmem.protocols import ChatModel, Progress
from graphmem.types import ChatRequest, Hit, Message, Price

JUDGE_PROMPT = """\
You grade answers to questions. You are given a question, the accepted answers, and a candidate.
The candidate is correct if it means the same as one of the accepted answers; another spelling,
more or less detail, or a full sentence around it do not matter. It is wrong if it contradicts
them, names something else beside them, or does not answer.

Question: {question}
Accepted answers: {accepted}
Candidate: {answer}

Reply with one word: correct or wrong."""
"""The prompt of the optional judge, published here; the only thing that it is shown."""


def answer_runs(
    out: Path,
    datasets: Sequence[Dataset],
    chat: ChatModel,
    *,
    passages: int = 5,
    judge: ChatModel | None = None,
    threads: int = 8,
    price: Price | None = None,
    progress: Progress | None = None,
) -> None:
    """Write answers.jsonl into every run of a results folder; scoring it again counts them.

    Put a cache before the model, and an interrupted run goes on without asking twice.

    Args:
        out: The results folder.
        datasets: Its data sets, for the text of the passages.
        chat: The reader's model.
        passages: How many passages of each ranking it reads.
        judge: Who else decides whether an answer is right; None is nobody.
        threads: Questions under way at once.
        price: Of tokens read and written; None where cost is not counted.
        progress: Told of every question.

    Raises:
        TooManyFailures: More questions failed than the experiment allows.
        EndpointError: Every call would fail alike.
        DataError: The folder is not complete.
    """
    experiment = read_record(out / "experiment.json", ExperimentRecord)
    tell = progress or (lambda stage, done, total: None)
    for dataset in datasets:
        entry = next((d for d in experiment.datasets if d.name == dataset.name), None)
        if entry is None or entry.content != dataset.content:
            raise DataError(f"{dataset.name} is not what the runs in {out} were made with")
        for variant in entry.variants:
            for seed in experiment.seeds:
                folder = run_folder(out, dataset.name, variant, seed)
                label = f"{dataset.name}, {variant}: answers"
                counting = CountingChat(chat)
                grading = CountingChat(judge) if judge else None
                asked = _Asked(Reader(counting, passages), grading)
                rows = _answer_run(folder, dataset, asked, threads, label, tell)
                _check_failures(rows, experiment.fail_on, label)
                write_lines(folder / "answers.jsonl", rows)
                _note_tokens(folder, counting, grading, passages, price)


class _Asked:
    """One question to one record of answers.jsonl."""

    def __init__(self, reader: Reader, judge: ChatModel | None) -> None:
        self._reader, self._judge = reader, judge

    def __call__(self, question: JudgedQuestion, hits: Sequence[Hit]) -> dict[str, Any]:
        try:
            found = self._reader.answer(question.text, hits)
            record = {
                "id": question.id,
                "answer": found.text if found.found else "",
                "found": found.found,
                "passages": list(found.passages),
                "error": "",
            }
            if self._judge is not None:
                record["judged"] = judged(self._judge, question, str(record["answer"]))
        except EndpointError:
            raise
        except GraphmemError as error:
            return {"id": question.id, "answer": "", "found": False, "error": str(error)}
        return record


def judged(chat: ChatModel, question: JudgedQuestion, answer: str) -> float:
    """1 where a model says that the answer is correct, else 0; it is not asked about none.

    Raises:
        ModelError: The call failed.
    """
    if not answer.strip():
        return 0.0
    prompt = JUDGE_PROMPT.format(
        question=question.text, accepted=" | ".join(question.answers), answer=answer
    )
    request = ChatRequest((Message("user", prompt),), max_tokens=16, stage="judge")
    said = chat.complete(request).text.casefold().split()
    return float(bool(said) and said[0].strip("\"'*.,:!") == "correct")


def _answer_run(
    folder: Path, dataset: Dataset, asked: _Asked, threads: int, label: str, tell: Progress
) -> list[dict[str, Any]]:
    texts = {trec_id(passage.id): passage for passage in dataset.passages}
    ranked = read_run(folder / "run.trec")
    questions = [question for question, _ in read_records(folder)]

    def hits(question: JudgedQuestion) -> list[Hit]:
        ids = ranked.get(trec_id(question.id), [])[:20]
        return [Hit(rank, 1 / rank, texts[id_]) for rank, id_ in enumerate(ids, start=1)]

    rows = []
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for row in pool.map(asked, questions, map(hits, questions)):
            rows.append(row)
            tell(label, len(rows), len(questions))
    return rows


def _check_failures(rows: Sequence[Mapping[str, Any]], fail_on: float, label: str) -> None:
    failed = [row["error"] for row in rows if row["error"]]
    allowed = int(fail_on * len(rows)) if fail_on < 1 else int(fail_on)
    if len(failed) > allowed:
        raise TooManyFailures(f"{label}: {len(failed)} failed, {allowed} may; first: {failed[0]}")


def _note_tokens(
    folder: Path,
    reader: CountingChat,
    judge: CountingChat | None,
    passages: int,
    price: Price | None,
) -> None:
    """What the answers take goes into the scores, also where a cache gave them: it is the method's.

    It is added to what leading the searches took. What was paid now, and what the judge took, stand
    beside it.
    """
    numbers = read_record(folder / "run.json", RunNumbers)
    led, read = numbers.chat or ModelUse(""), reader.use(price)
    numbers = replace(
        numbers,
        tokens=Tokens(
            led.tokens.prompt + read.tokens.prompt, led.tokens.completion + read.tokens.completion
        ),
        calls=led.calls + read.calls,
        cost=led.cost + read.cost,
        reader=ReaderUse(
            read.model, read.tokens, read.calls, read.cost, read.paid, passages=passages
        ),
        judge=judge.use(price) if judge else None,
    )
    write_record(folder / "run.json", numbers)
