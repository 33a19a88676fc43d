"""Long conversations as they are published: LoCoMo and LongMemEval.

A turn (or a whole session) is a passage, with its time as metadata. A question looks only within
its own conversation: both carry its name as their scope.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import regex

from graphmem.base.counts import counted
from graphmem.evaluation.datasets.dataset import SCOPE, Dataset, JudgedQuestion, strings
from graphmem.evaluation.datasets.published import need, read_items
from graphmem.sources.records import Place, clean_text
from graphmem.types import Passage

Granularity = Literal["turn", "session"]

_LOCOMO_TYPES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_EVIDENCE = regex.compile(r"D:?(\d+):(\d+)")
_SESSION = regex.compile(r"session_(\d+)")
_TIMES = ("%I:%M %p on %d %B, %Y", "%Y/%m/%d (%a) %H:%M", "%Y/%m/%d %H:%M")


def read_locomo(path: Path, name: str = "", granularity: Granularity = "turn") -> Dataset:
    """LoCoMo: samples with "sample_id", "conversation" (session_1, session_1_date_time, ..), "qa".

    A turn is {"speaker", "dia_id", "text"}, with "blip_caption" where a picture was shared. The
    categories 1 to 5 become multi-hop, temporal, open-domain, single-hop, adversarial; the
    adversarial questions, which have no answer, and questions without evidence are left out.

    Raises:
        DataError: A sample is malformed.
    """
    passages: list[Passage] = []
    questions: list[JudgedQuestion] = []
    left: Counter[str] = Counter()
    for place, sample in read_items(path):
        scope = str(sample.get("sample_id", place.item or place.line))
        ids: dict[tuple[int, int], str] = {}
        for passage, turns in _locomo_passages(sample, scope, granularity, place):
            passages.append(passage)
            ids |= dict.fromkeys(turns, passage.id)
        for number, item in enumerate(need(sample, "qa", list, place)):
            type_ = _LOCOMO_TYPES.get(item.get("category"), "")
            turns = [
                (int(session), int(turn))
                for evidence in item.get("evidence") or []
                for session, turn in _EVIDENCE.findall(str(evidence))
            ]
            gold = tuple(dict.fromkeys(ids[turn] for turn in turns if turn in ids))
            left["pointing at a turn that is not there"] += any(turn not in ids for turn in turns)
            if type_ == "adversarial" or not gold:
                left["adversarial" if gold else "without evidence"] += 1
                continue
            questions.append(
                JudgedQuestion(
                    id=f"{scope}-{number}",
                    text=need(item, "question", str, place).strip(),
                    gold=gold,
                    answers=strings(item.get("answer", []), "answer", place),
                    type=type_,
                    hops=len(gold),
                    scope=scope,
                )
            )
    notes = tuple(
        f"{counted(count, 'question')} {why}" + ("" if "point" in why else " left out")
        for why, count in left.items()
        if count
    )
    return Dataset(name or path.stem, tuple(passages), tuple(questions), notes)


def _locomo_passages(
    sample: Mapping[str, Any], scope: str, granularity: Granularity, place: Place
) -> Iterator[tuple[Passage, list[tuple[int, int]]]]:
    """Passages of one conversation, each with the (session, turn) numbers that it holds."""
    conversation = need(sample, "conversation", dict, place)
    speakers = " and ".join(
        str(conversation[key]) for key in ("speaker_a", "speaker_b") if conversation.get(key)
    )
    sessions = {int(m[1]): key for key in conversation if (m := _SESSION.fullmatch(key))}
    for session, key in sorted(sessions.items()):
        time = str(conversation.get(f"{key}_date_time") or "")
        title = ", ".join(filter(None, (speakers, f"session {session}", time)))
        metadata = {SCOPE: scope, "session": session, **_time(time)}
        turns = {
            _turn_number(turn, session, at, place): _turn_text(turn)
            for at, turn in enumerate(conversation[key] or [], start=1)
        }
        if granularity == "session" and turns:
            text = "\n".join(turns.values())
            yield Passage(f"{scope}:D{session}", text, title, metadata=metadata), list(turns)
        elif granularity == "turn":
            for (_, turn), text in turns.items():
                id_ = f"{scope}:D{session}:{turn}"
                yield Passage(id_, text, title, metadata=metadata), [(session, turn)]


def _turn_number(turn: Mapping[str, Any], session: int, at: int, place: Place) -> tuple[int, int]:
    if not isinstance(turn, dict):
        raise place.error("every turn of a session must be an object")
    match = _EVIDENCE.fullmatch(str(turn.get("dia_id", "")))
    return (int(match[1]), int(match[2])) if match else (session, at)


def _turn_text(turn: Mapping[str, Any]) -> str:
    text = clean_text(str(turn.get("text") or ""))
    if turn.get("blip_caption"):
        text += f" [shares a picture: {turn['blip_caption']}]"
    return f"{turn.get('speaker', '')}: {text}".strip()


def read_longmemeval(path: Path, name: str = "", granularity: Granularity = "turn") -> Dataset:
    """LongMemEval: questions, each with its own history of sessions, which is its scope.

    The fields are "question_id", "question_type", "question", "answer", "question_date",
    "haystack_session_ids", "haystack_dates", "haystack_sessions" (lists of {"role", "content"},
    "has_answer" where a turn is gold) and "answer_session_ids". Questions about what was never
    said ("_abs"), which have no gold, are left out.

    Raises:
        DataError: An item is malformed.
    """
    passages: list[Passage] = []
    questions: list[JudgedQuestion] = []
    left = 0
    for place, record in read_items(path):
        id_ = str(record.get("question_id", ""))
        found = list(_history(record, id_, granularity, place))
        gold = tuple(passage.id for passage, is_gold in found if is_gold)
        if id_.endswith("_abs") or not gold:
            left += 1
            continue
        passages += [passage for passage, _ in found]
        date = str(record.get("question_date") or "")
        questions.append(
            JudgedQuestion(
                id=id_,
                text=need(record, "question", str, place).strip(),
                gold=gold,
                answers=strings(record.get("answer", []), "answer", place),
                type=str(record.get("question_type") or ""),
                hops=len(gold),
                scope=id_,
                metadata=_time(date),
            )
        )
    notes = (f"{counted(left, 'question')} without gold (abstention) left out",) if left else ()
    return Dataset(name or path.stem, tuple(passages), tuple(questions), notes)


def _history(
    record: Mapping[str, Any], scope: str, granularity: Granularity, place: Place
) -> Iterator[tuple[Passage, bool]]:
    """Passages of one question's history, and whether they are gold."""
    ids, dates, sessions = (
        need(record, f"haystack_{key}", list, place) for key in ("session_ids", "dates", "sessions")
    )
    if not len(ids) == len(dates) == len(sessions):
        raise place.error("haystack_session_ids, _dates and _sessions must be equally long")
    answers = set(record.get("answer_session_ids") or [])
    seen: Counter[str] = Counter()
    for session, date, turns in zip(ids, dates, sessions, strict=True):
        seen[session] += 1
        name = f"{scope}/{session}" + (f"+{seen[session]}" if seen[session] > 1 else "")
        metadata = {SCOPE: scope, "session": session, **_time(str(date))}
        title = f"Session of {date}"
        if granularity == "session":
            text = _session_text(turns)
            if text:
                yield Passage(name, text, title, metadata=metadata), session in answers
            continue
        for number, turn in enumerate(turns, start=1):
            text = _session_text([turn])
            if text:
                passage = Passage(f"{name}/{number}", text, title, metadata=metadata)
                yield passage, turn.get("has_answer") is True


def _session_text(turns: Sequence[Mapping[str, Any]]) -> str:
    said = [(turn.get("role", ""), clean_text(str(turn.get("content") or ""))) for turn in turns]
    return "\n".join(f"{role}: {text}" for role, text in said if text)


def _time(text: str) -> dict[str, str]:
    """The time as written, and in ISO 8601 where it can be read, which sorts.

    >>> _time("1:56 pm on 8 May, 2023")
    {'time': '1:56 pm on 8 May, 2023', 'timestamp': '2023-05-08T13:56:00'}
    """
    if not text:
        return {}
    for pattern in _TIMES:
        try:
            return {"time": text, "timestamp": datetime.strptime(text, pattern).isoformat()}
        except ValueError:
            continue
    return {"time": text}
