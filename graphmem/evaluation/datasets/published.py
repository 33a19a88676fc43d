"""Multi-hop question sets as they are published: MuSiQue, HotpotQA, 2WikiMultiHopQA, HippoRAG's.

Their questions carry their own paragraphs, some of them gold. The paragraphs of all questions are
pooled into one corpus, where equal ones are one passage; ids are hashes of the content, so that
they say nothing about which paragraphs came together.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from graphmem.base.counts import counted
from graphmem.base.text import content_hash
from graphmem.errors import DataError
from graphmem.evaluation.datasets.dataset import Dataset, JudgedQuestion, hops_of, strings
from graphmem.sources.records import Place, clean_text, parse_lines, parse_list
from graphmem.types import Passage

Item = tuple[Place, dict[str, Any]]
Paragraph = tuple[str, str, bool]
"""Title, text, and whether it is gold."""


def read_items(path: Path) -> list[Item]:
    """The objects of a file: a JSON list, one a line, or a single one; also .gz.

    Raises:
        DataError: There is no such file, it is not UTF-8, or not JSON.
    """
    name = str(path)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8: {error.reason}", name) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"not a whole gzip file: {error}", name) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", name) from error
    if text.lstrip().startswith("["):
        return list(parse_list([text], name))
    try:
        whole = json.loads(text)
    except ValueError:
        return list(parse_lines(text.splitlines(), name))
    if not isinstance(whole, dict):
        raise DataError("expected JSON objects", name)
    return [(Place(name, 1), whole)]


def need(record: Mapping[str, Any], field: str, kind: type, place: Place) -> Any:
    """The value of a field that must be there.

    Raises:
        DataError: It is missing or of another type.
    """
    value = record.get(field)
    if not isinstance(value, kind):
        found = ", ".join(map(repr, record)) or "no field"
        raise place.error(f"expected {field!r}, {_NAMES[kind]}; the fields are {found}")
    return value


_NAMES: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}


class Pool:
    """Passages by content: equal paragraphs are one."""

    def __init__(self) -> None:
        """Start empty."""
        self.passages: dict[str, Passage] = {}
        self._by_text: dict[tuple[str, str], str] = {}
        self._by_title: dict[str, list[str]] = {}

    def add(self, title: str, text: str, id_: str = "", **metadata: Any) -> str:
        """Add a paragraph (one without text is its title), and return its id, "" where it is blank.

        An id that is given is kept; else it is a hash of the content.
        """
        title, text = clean_text(title), clean_text(text) or clean_text(title)
        if not text:
            return ""
        key = (title, _squeezed(text))
        known = self._by_text.get(key)
        if known is not None and not id_:
            return known
        name = id_ or content_hash(*key)[:16]
        self._by_text.setdefault(key, name)
        if name not in self.passages:
            self._by_title.setdefault(title, []).append(name)
        self.passages[name] = Passage(name, text, title, metadata=metadata)
        return name

    def find(self, title: str, text: str = "") -> str | None:
        """Id of a paragraph: the one with this text, or the only one with this title."""
        title = clean_text(title)
        known = self._by_text.get((title, _squeezed(clean_text(text))))
        if known is not None:
            return known
        same = self._by_title.get(title, [])
        return same[0] if len(same) == 1 else None


def _squeezed(text: str) -> str:
    # Published corpora join the same sentences with and without blanks between them.
    return "".join(text.split())


def read_musique(path: Path, name: str = "", corpus: Path | None = None) -> Dataset:
    """MuSiQue: {"id", "question", "answer", "answer_aliases", "answerable", "paragraphs"} a line.

    A paragraph is {"title", "paragraph_text", "is_supporting"}. Unanswerable questions (of
    MuSiQue-Full) have no gold chain and are left out.

    Raises:
        DataError: A line is malformed.
    """
    return _read(path, name, corpus, _musique_paragraphs)


def read_hotpot(path: Path, name: str = "", corpus: Path | None = None) -> Dataset:
    """HotpotQA and 2WikiMultiHopQA: {"_id", "question", "answer", "supporting_facts", "context"}.

    A context is [title, sentences], a supporting fact [title, sentence number]; the columns of
    the Hugging Face version ({"title": [..], "sentences": [..]}) do too. With a `corpus` (objects
    with "title" and "text" or "sentences") gold is found there by title, which must be unique.

    Raises:
        DataError: An item is malformed.
    """
    return _read(path, name, corpus, _hotpot_paragraphs)


def read_hipporag(path: Path, name: str = "", corpus: Path | None = None) -> Dataset:
    """HippoRAG's files: NAME.json with questions, NAME_corpus.json with {"title", "text", "idx"}.

    The questions carry their paragraphs in the shape of MuSiQue, HotpotQA or "contexts"; gold is
    found in the corpus by title and text.

    Args:
        path: The question file.
        name: Name of the data set; the file's where it is "".
        corpus: The corpus; NAME_corpus.json beside the questions where it is None.

    Raises:
        DataError: An item is malformed, or a gold paragraph is not in the corpus.
    """
    beside = path.with_name(f"{path.stem}_corpus.json")
    return _read(path, name, corpus or beside, _any_paragraphs)


def _read(path: Path, name: str, corpus: Path | None, paragraphs: Any) -> Dataset:
    pool, questions, unanswerable = Pool(), [], 0
    if corpus is not None:
        _read_corpus(corpus, pool)
    for place, record in read_items(path):
        if record.get("answerable") is False:
            unanswerable += 1
            continue
        found = list(paragraphs(record, place))
        gold = _gold(found, pool, place) if corpus is not None else _pooled(found, pool)
        questions.append(_question(record, gold, place))
    notes = (f"{counted(unanswerable, 'unanswerable question')} left out",) if unanswerable else ()
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return Dataset(name or stem, tuple(pool.passages.values()), tuple(questions), notes)


def _read_corpus(path: Path, pool: Pool) -> None:
    for place, record in read_items(path):
        text = record.get("text", record.get("sentences", record.get("paragraph_text")))
        if isinstance(text, list):
            text = _joined(text)
        if not isinstance(text, str):
            raise place.error("expected 'text', a string, or 'sentences', a list of strings")
        id_ = record.get("idx", record.get("id", record.get("_id", "")))
        pool.add(str(record.get("title") or ""), text, str(id_))


def _joined(sentences: Iterable[Any]) -> str:
    # HotpotQA's sentences begin with their own blank, 2WikiMultiHopQA's do not.
    return " ".join(str(sentence).strip() for sentence in sentences)


def _pooled(paragraphs: Iterable[Paragraph], pool: Pool) -> tuple[str, ...]:
    ids = [(pool.add(title, text), gold) for title, text, gold in paragraphs]
    return tuple(dict.fromkeys(id_ for id_, gold in ids if gold and id_))


def _gold(paragraphs: Iterable[Paragraph], pool: Pool, place: Place) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for title, text, gold in paragraphs:
        if not gold:
            continue
        id_ = pool.find(title, text)
        if id_ is None:
            raise place.error(f"the gold paragraph {title!r} is not in the corpus")
        found[id_] = None
    return tuple(found)


def _question(record: Mapping[str, Any], gold: tuple[str, ...], place: Place) -> JudgedQuestion:
    text = need(record, "question", str, place)
    answers = [record[key] for key in ("answer", "gold_ans", "reference") if key in record][:1]
    if not answers and "obj" in record:  # PopQA's fields, which HippoRAG's set keeps
        answers = [[record["obj"], *_listed(record, "possible_answers", "o_aliases")]]
    accepted = [*(_as_list(answers[0]) if answers else []), *_listed(record, "answer_aliases")]
    id_ = record.get("id", record.get("_id"))
    type_ = str(record.get("type") or "")
    chain = str(id_ or "").partition("__")[0]
    if not type_ and hops_of(chain, ()):  # MuSiQue's ids begin with the shape of the chain
        type_ = chain
    level = record.get("level")
    return JudgedQuestion(
        id=str(id_) if id_ not in (None, "") else content_hash(text)[:16],
        text=text.strip(),
        gold=gold,
        answers=strings(accepted, "answer", place),
        type=type_,
        hops=hops_of(type_, gold),
        metadata={"level": level} if level else {},
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _listed(record: Mapping[str, Any], *names: str) -> list[Any]:
    found: list[Any] = []
    for name in names:
        value = record.get(name) or []
        if isinstance(value, str) and value.startswith("["):  # PopQA keeps lists as JSON text
            value = json.loads(value)
        found += _as_list(value)
    return found


def _any_paragraphs(record: Mapping[str, Any], place: Place) -> Iterator[Paragraph]:
    if "supporting_facts" in record:
        return _hotpot_paragraphs(record, place)
    if "paragraphs" in record or "contexts" in record:
        return _musique_paragraphs(record, place)
    raise place.error("expected 'supporting_facts' and 'context', 'paragraphs', or 'contexts'")


def _musique_paragraphs(record: Mapping[str, Any], place: Place) -> Iterator[Paragraph]:
    field = "contexts" if "contexts" in record else "paragraphs"
    for item in need(record, field, list, place):
        text = item.get("paragraph_text", item.get("text"))
        if not isinstance(text, str):
            raise place.error(f"every item of {field!r} needs 'paragraph_text', a string")
        # PopQA's paragraphs in HippoRAG's set are all gold, or say so themselves.
        yield str(item.get("title") or ""), text, bool(item.get("is_supporting", True))


def _hotpot_paragraphs(record: Mapping[str, Any], place: Place) -> Iterator[Paragraph]:
    facts, context = record.get("supporting_facts"), record.get("context", [])
    if isinstance(facts, dict):
        titles = set(facts.get("title", []))
    elif isinstance(facts, list):
        titles = {fact[0] for fact in facts}
    else:
        raise place.error("expected 'supporting_facts', a list of [title, sentence number]")
    if isinstance(context, dict):
        context = list(zip(context.get("title", []), context.get("sentences", []), strict=True))
    shown = set()
    for item in context:
        if len(item) != 2 or not isinstance(item[1], list):
            raise place.error("expected 'context', a list of [title, list of sentences]")
        shown.add(item[0])
        yield str(item[0]), _joined(item[1]), item[0] in titles
    for title in sorted(titles - shown):  # full-wiki questions do not carry their gold paragraphs
        yield str(title), "", True
