"""Kill -9 in the middle of an extraction: no answer that was kept is asked for again."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

from chat_helpers import extract_reply, passage, prompt_hash

CONCURRENCY = 4
PROGRAM = f"""
import json, sys
from pathlib import Path
from graphmem.llm.response_cache import CachedChat, ResponseCache
from graphmem.llm.openai import OpenAIChat
from graphmem.extraction.openie import LlmExtractor
from graphmem.types import Passage
passages = [Passage(*fields) for fields in json.loads(Path(sys.argv[1]).read_text("utf-8"))]
with ResponseCache(Path(sys.argv[2])) as cache:
    extractor = LlmExtractor(CachedChat(OpenAIChat("fake"), cache), concurrency={CONCURRENCY})
    found = extractor.extract(passages)
    Path(sys.argv[3]).write_text(repr(found), "utf-8")
"""


def start(folder, name):
    arguments = [str(folder / "passages.json"), str(folder / f"{name}.sqlite")]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments, str(folder / f"{name}.txt")],
        env={**os.environ},
    )


def kept(path):
    if not path.exists():
        return 0
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT count(*) FROM responses").fetchone()[0]
    except sqlite3.OperationalError:  # the tables are not there yet
        return 0
    finally:
        db.close()


def test_no_paid_answer_is_asked_for_again(server, tmp_path):
    def slow(request):
        time.sleep(0.01)
        return extract_reply(request)

    server.default = slow
    passages = [passage(i) for i in range(200)]
    fields = json.dumps([[p.id, p.text, p.title] for p in passages])
    (tmp_path / "passages.json").write_text(fields, "utf-8")
    rng = random.Random(3)
    path, asked_for_nothing = tmp_path / "killed.sqlite", 0
    for _ in range(4):
        process = start(tmp_path, "killed")
        goal = kept(path) + rng.randrange(10, 60)
        deadline = time.monotonic() + 60
        while kept(path) < goal and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.1)  # the server ends what it has begun
        before = kept(path)
        assert before >= goal
        asked_for_nothing = len(server.calls) - before
    assert start(tmp_path, "killed").wait(120) == 0
    calls = [prompt_hash(call) for call in server.calls]
    assert len(set(calls)) == 400
    # Only what was under way at a kill, and so never arrived, was asked again.
    assert len(calls) - 400 == asked_for_nothing <= 4 * CONCURRENCY
    assert start(tmp_path, "killed").wait(120) == 0
    assert len(server.calls) == len(calls)
    assert start(tmp_path, "calm").wait(120) == 0
    assert (tmp_path / "killed.txt").read_text("utf-8") == (tmp_path / "calm.txt").read_text(
        "utf-8"
    )
