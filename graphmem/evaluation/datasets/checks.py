"""Whether the questions of a data set fit its passages, and what is odd about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graphmem.base.text import content_hash
from graphmem.errors import DataError
from graphmem.evaluation.datasets.dataset import Dataset, scope_of
from graphmem.evaluation.datasets.trec_ids import alike

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing that is wrong or odd.

    Attributes:
        broken: Whether scores would be meaningless; else it is only worth knowing.
        what: What it is.
        ids: Where: ids of passages or questions, sorted.
    """

    broken: bool
    what: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        """As "error: 2 gold passages are not in the corpus: a, b"."""
        return f"{'error' if self.broken else 'warning'}: {self.text}"

    @property
    def text(self) -> str:
        """What was found, without its weight."""
        shown = ", ".join(self.ids[:_EXAMPLES]) + (", …" if len(self.ids) > _EXAMPLES else "")
        return f"{len(self.ids)} {self.what}: {shown}"


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What a check found.

    Attributes:
        name: Name of the data set.
        counts: Numbers of passages, questions, gold and so on; JSON values.
        findings: What is wrong or odd, errors first.
    """

    name: str
    counts: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> bool:
        """Whether any finding makes scores meaningless."""
        return any(finding.broken for finding in self.findings)


def check_dataset(dataset: Dataset) -> DatasetReport:
    """Check ids, gold, scopes, repeats and answers."""
    findings = [
        Finding(broken, what, tuple(sorted(set(ids))))
        for broken, what, ids in [*_errors(dataset), *_warnings(dataset)]
        if ids
    ]
    return DatasetReport(dataset.name, _counts(dataset), tuple(findings))


def require_sound(dataset: Dataset) -> None:
    """Refuse a data set whose scores would be meaningless.

    Raises:
        DataError: Saying all that is wrong.
    """
    wrong = [finding.text for finding in check_dataset(dataset).findings if finding.broken]
    if wrong:
        raise DataError("; ".join(wrong))


def _errors(dataset: Dataset) -> Iterable[tuple[bool, str, list[str]]]:
    texts: dict[str, set[str]] = {}
    scopes: dict[str, str] = {}
    for passage in dataset.passages:
        texts.setdefault(passage.id, set()).add(content_hash(passage.title, passage.text))
        scopes[passage.id] = scope_of(passage)
    questions = dataset.questions
    if not dataset.passages:
        yield True, "data set without passages", [dataset.name]
    if not questions:
        yield True, "data set without questions", [dataset.name]
    yield (
        True,
        "passage ids with different texts",
        [id_ for id_, variants in texts.items() if len(variants) > 1],
    )
    yield True, "question ids come twice", _repeated(question.id for question in questions)
    yield True, "questions with an empty gold list", [q.id for q in questions if not q.gold]
    yield (
        True,
        "questions whose gold is not in the corpus",
        [q.id for q in questions if any(gold not in texts for gold in q.gold)],
    )
    yield (
        True,
        "questions whose gold is outside their scope",
        [
            q.id
            for q in questions
            if q.scope and any(scopes.get(gold, q.scope) != q.scope for gold in q.gold)
        ],
    )
    yield True, "passage ids that a TREC run cannot tell apart", alike(texts)
    yield True, "question ids that a TREC run cannot tell apart", alike(q.id for q in questions)
    yield (
        True,
        "questions whose grades are not of their gold",
        [q.id for q in questions if not q.grades.keys() <= set(q.gold)],
    )


def _warnings(dataset: Dataset) -> Iterable[tuple[bool, str, list[str]]]:
    passages, questions = dataset.passages, dataset.questions
    gold = {id_ for question in questions for id_ in question.gold}
    by_text: dict[tuple[str, str], list[str]] = {}
    titles: dict[tuple[str, str], list[str]] = {}
    for passage in passages:
        by_text.setdefault((scope_of(passage), passage.text), []).append(passage.id)
        if passage.title and not scope_of(passage):
            titles.setdefault((scope_of(passage), passage.title), []).append(passage.id)
    same = [ids for ids in by_text.values() if len(set(ids)) > 1]
    yield False, "passage ids come twice with one text", _repeated(p.id for p in passages)
    yield False, "passages share their text with another", [id_ for ids in same for id_ in ids]
    yield (
        False,
        "gold passages have a copy that is not gold, which will count as wrong",
        [id_ for ids in same for id_ in ids if id_ in gold and not set(ids) <= gold],
    )
    yield (
        False,
        "passages share their title with another",
        [id_ for ids in titles.values() if len(set(ids)) > 1 for id_ in ids],
    )
    yield False, "questions without an answer", [q.id for q in questions if not q.answers]
    asked: dict[tuple[str, str], list[str]] = {}
    for question in questions:
        asked.setdefault((question.scope, question.text.casefold()), []).append(question.id)
    yield (
        False,
        "questions are asked twice",
        [id_ for ids in asked.values() if len(ids) > 1 for id_ in ids],
    )


def _repeated(ids: Iterable[str]) -> list[str]:
    return [id_ for id_, count in Counter(ids).items() if count > 1]


def _counts(dataset: Dataset) -> dict[str, Any]:
    questions = dataset.questions
    gold = {id_ for question in questions for id_ in question.gold}
    held = gold & {passage.id for passage in dataset.passages}
    scopes = {question.scope for question in questions} - {""}
    return {
        "passages": len(dataset.passages),
        "questions": len(questions),
        "gold_passages": len(gold),
        "gold_coverage": round(len(held) / len(gold), 4) if gold else 0.0,
        "gold_share_of_corpus": round(len(held) / max(1, len(dataset.passages)), 4),
        "scopes": len(scopes),
        "types": dict(sorted(Counter(question.type for question in questions).items())),
        "hops": dict(sorted(Counter(str(question.hops) for question in questions).items())),
        "notes": list(dataset.notes),
    }
