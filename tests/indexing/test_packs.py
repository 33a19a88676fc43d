"""Packs of passages: what is asked again after a kill, with more passages, after failures.

The model here is scripted, its answers are kept in a file as always, and a kill is an exception
that no code expects, at any call.
"""

import json
import random
from dataclasses import replace

import pytest
from worlds import snapshot_bytes

from graphmem import GraphMemory, Passage
from graphmem.answering.chat_session import ChatSettings
from graphmem.llm.scripted import ScriptedChat

TEXTS = [Passage(f"p{i}", f"Town {i} lies on River {i}.", f"Town {i}") for i in range(23)]
LONG = Passage("long", "Town 99 lies on River 99. " * 80, "Town 99")


class Killed(BaseException):
    """The process is gone."""


class Model:
    """Answers packs and single passages; what it says of one changes with its neighbours.

    Passages in `lost` are left out of packs and get prose when asked about alone.
    """

    def __init__(self):
        self.lost = set()
        self.left = 10**9
        self.answered = []

    def __call__(self, request):
        self.left -= 1
        if self.left < 0:
            raise Killed
        self.answered.append(request.messages)
        asked = request.messages[-1].content if len(request.messages) < 6 else "again"
        packed = "numbered passages" in request.messages[0].content
        parts = asked.split("Passage ")[1:] if packed else [asked]
        entries = []
        for number, part in enumerate(parts, start=1):
            towns = [p.title for p in [*TEXTS, LONG] if f"\n{p.title}\n" in f"\n{part}"]
            if towns and towns[0] in self.lost or asked == "again":
                continue
            name = towns[0]
            entities = [name, f"Neighbours {len(parts)} {name}"]
            triples = [[name, "lies on", name.replace("Town", "River")]]
            entries.append({"number": number, "entities": entities, "triples": triples})
        if packed:
            return json.dumps({"passages": entries})
        return json.dumps(entries[0]) if entries else "no idea"


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def chat(model):
    return ScriptedChat(model)


def opened(folder, chat, pack=4):
    settings = ChatSettings(chat, concurrency=1, pack=pack)
    return GraphMemory.open(folder, embedder="hashing", extractor="llm", chat=settings)


def asked(chat, start=0):
    """Which passages the calls from `start` on were about."""
    text = "\n".join(r.messages[-1].content for r in chat.requests[start:])
    return {p.id for p in [*TEXTS, LONG] if f"\n{p.title}\n" in f"\n{text}"}


def checked_add(folder, chat, passages, **options):
    """Add, after a dry run whose number of calls must be right; the calls and the report."""
    estimate = opened(folder, chat).estimate(passages)
    before = len(chat.requests)
    report = opened(folder, chat).add(passages, workers=1, **options)
    calls = len(chat.requests) - before
    assert (estimate.calls, estimate.passages) == (calls, report.computed + report.failed)
    return calls, report


def test_passages_that_are_added_leave_those_alone_that_are_extracted(tmp_path, chat):
    calls, _ = checked_add(tmp_path / "i", chat, TEXTS[:10])
    assert calls == 2 * 3
    before = len(chat.requests)
    calls, report = checked_add(tmp_path / "i", chat, [*TEXTS, LONG])
    assert (report.computed, report.passages) == (14, 24)
    assert calls in (2 * 4, 2 * 5)  # the long passage shares no call; a pack of one may be left
    assert asked(chat, before) == {p.id for p in [*TEXTS[10:], LONG]}
    assert checked_add(tmp_path / "i", chat, TEXTS)[0] == 0


def test_two_passages_of_one_text_are_one_text_to_ask_about(tmp_path, chat):
    twice = [*TEXTS[:6], replace(TEXTS[0], id="again")]
    assert checked_add(tmp_path / "i", chat, twice)[0] == 2 * 2
    assert checked_add(tmp_path / "i", chat, twice)[0] == 0


def test_what_failed_is_asked_again_alone(tmp_path, model, chat):
    model.lost = {"Town 2", "Town 5"}
    assert opened(tmp_path / "i", chat).add(TEXTS[:10], max_failures=1e9).failed == 2
    model.lost = {"Town 2"}
    before = len(chat.requests)
    estimate = opened(tmp_path / "i", chat).estimate(TEXTS[:14])
    assert (estimate.passages, estimate.calls) == (6, 2 + 2 + 2)
    report = opened(tmp_path / "i", chat).add(TEXTS[:14], max_failures=1e9)
    assert (report.computed, report.failed) == (5, 1)
    # Town 2: asked twice for its entities, in vain.
    assert len(chat.requests) - before == estimate.calls
    assert asked(chat, before) == {"p2", "p5", "p10", "p11", "p12", "p13"}
    model.lost = set()
    calls, report = checked_add(tmp_path / "i", chat, [])
    assert (calls, report.missing) == (2, 0)


def test_after_a_failure_of_triples_the_names_are_not_paid_again(tmp_path, model, chat):
    passages = TEXTS[:1]
    model.left = 1
    with pytest.raises(Killed):
        opened(tmp_path / "i", chat).add(passages)
    model.left = 10**9
    assert checked_add(tmp_path / "i", chat, passages)[0] == 1


@pytest.mark.parametrize("pack", [1, 4])
def test_killed_at_any_call_the_same_packs_are_asked(tmp_path, model, chat, pack):
    """What was answered is never asked again, and the index is that of an undisturbed run."""
    opened(tmp_path / "calm", ScriptedChat(Model()), pack).add(TEXTS, workers=1)
    rng = random.Random(pack)
    kills = 0
    while kills < 99:
        model.left = rng.randrange(0, 5 if pack > 1 else 20)
        try:
            opened(tmp_path / "i", chat, pack).add(TEXTS, workers=1)
            break
        except Killed:
            kills += 1
    assert 2 <= kills < 99
    assert len(model.answered) == len(set(model.answered)) == 2 * -(-len(TEXTS) // pack)
    assert snapshot_bytes(tmp_path / "i") == snapshot_bytes(tmp_path / "calm")


def test_more_passages_before_a_killed_run_has_ended(tmp_path, model, chat):
    """What was in flight stays in its pack, although more was added and packs are to be smaller."""
    model.left = 5
    with pytest.raises(Killed):
        opened(tmp_path / "i", chat).add(TEXTS[:11])
    model.left = 10**9
    before = len(model.answered)
    estimate = opened(tmp_path / "i", chat, 2).estimate(TEXTS)
    report = opened(tmp_path / "i", chat, 2).add(TEXTS, workers=1)
    made = model.answered[before:]
    # Of three packs two are done and of the third the first answer is kept; six packs of two more.
    assert (before, estimate.calls, len(made), report.passages) == (5, 1 + 2 * 6, 13, 23)
    assert sum("Passage 3" in messages[-1].content for messages in made) == 1


def test_a_killed_run_and_more_end_as_if_undisturbed(tmp_path, model, chat):
    calm = ScriptedChat(Model())
    opened(tmp_path / "calm", calm).add(TEXTS[:9], workers=1)
    opened(tmp_path / "calm", calm).add(TEXTS, workers=1)
    model.left = 3
    with pytest.raises(Killed):
        opened(tmp_path / "i", chat).add(TEXTS[:9], workers=1)
    model.left = 10**9
    opened(tmp_path / "i", chat).add(TEXTS, workers=1)
    assert snapshot_bytes(tmp_path / "i") == snapshot_bytes(tmp_path / "calm")
    assert len(model.answered) == len(calm.requests)
