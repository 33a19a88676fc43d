"""Kill -9 in the middle of an extraction by a real model server, again and again.

    python pipelines/benchmarks/kill_extraction.py --passages 200 --kills 10

Starts llama.cpp's HTTP server on loopback with a model of 135 million parameters, extracts short
passages of the sample corpus in a process of its own, and kills that process at random moments.
Between the two stands a proxy that counts the requests. It asks the server once for each, and
gives the same answer when the same comes again, since a model's answer can change with what else
it computes at that moment. Checked is:

- that a request comes again only if its answer was not kept when a process was killed, or if its
  passage failed (which the next run tries again, as it should);
- that the index in the end is, byte for byte, that of a run which nobody disturbed.

Exit code 1 where that does not hold. Needs the package xllamacpp.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "llm"), str(ROOT / "tests")]

from test_llama_server import KEY, PROGRAM, model_file  # noqa: E402

from graphmem.base.text import sentence_spans  # noqa: E402

CONCURRENCY = 2
CHILD = """
import json, sys
from pathlib import Path
from graphmem import GraphMemory, Passage
from graphmem.llm.openai import OpenAIChat
from graphmem.llm.response_cache import CachedChat, ResponseCache
from graphmem.extraction.openie import LlmExtractor
index, passages, tokens, concurrency = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
index.mkdir(parents=True, exist_ok=True)
chat = CachedChat(OpenAIChat("smollm2", timeout=300, concurrency=int(concurrency)),
                  ResponseCache(index / "responses.sqlite"))
extractor = LlmExtractor(chat, int(concurrency), entity_tokens=int(tokens),
                         triple_tokens=2 * int(tokens))
memory = GraphMemory.open(index, embedder="hashing", extractor=extractor)
found = memory.add([Passage(*fields) for fields in json.loads(Path(passages).read_text())],
                   workers=1, max_failures=1e9)
print(json.dumps({"passages": found.passages, "failed": found.failed,
                  "failures": memory.failures()}))
"""


class Proxy:
    """Passes each distinct request to the server once, and counts all."""

    def __init__(self, server: str) -> None:
        """Listen on a free port of loopback."""
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.texts: dict[str, str] = {}
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                key = hashlib.sha256(body).hexdigest()
                with outer.lock:
                    outer.asked.append(key)
                    outer.texts[key] = json.loads(body)["messages"][3]["content"]
                status, answer = outer.answers.get(key) or outer.answer(key, server, body)
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except ConnectionError:
                    pass  # who asked was killed

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, key: str, server: str, body: bytes) -> tuple[int, bytes]:
        """The server's answer, which is kept."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        request = urllib.request.Request(f"{server}/v1/chat/completions", body, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=300) as reply:  # noqa: S310
                found = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            found = error.code, error.read()
        with self.lock:
            return self.answers.setdefault(key, found)


def main() -> int:
    """Run both, compare, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=64, help="limit of the first answer")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return check(Path(temporary), arguments)


def check(work: Path, options: argparse.Namespace) -> int:
    """The whole test in a folder; 0 where all holds."""
    (work / "passages.json").write_text(json.dumps(short_passages(options.passages)))
    llama = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(model_file()), KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    started = time.monotonic()
    try:
        assert llama.stdout is not None
        proxy = Proxy(llama.stdout.readline().decode().strip())
        kept, again, end = disturbed(work, options, proxy)
        seconds = time.monotonic() - started
        calm = start(work, "calm", options, proxy.url)
        quiet = json.loads(calm.communicate()[0])
    finally:
        assert llama.stdin is not None
        llama.stdin.close()  # asks it to stop
        llama.wait(60)
    failed = [key for key, text in proxy.texts.items() if holds_one_of(text, end["failures"], work)]
    unexplained = {key: n for key, n in again.items() if key not in failed}
    in_flight = sum(unexplained.values())
    same = snapshot(work / "killed") == snapshot(work / "calm")
    print(
        json.dumps(
            {
                "passages": options.passages,
                "indexed": end["passages"],
                "failed": end["failed"],
                "kills at so many answers": kept,
                "distinct requests": len(proxy.texts),
                "asked again: was in flight at a kill": in_flight,
                "at most": options.kills * CONCURRENCY,
                "asked again: passage failed before": sum(again.values()) - in_flight,
                "same index as undisturbed": same,
                "seconds of the disturbed runs": round(seconds),
            },
            indent=1,
        )
    )
    holds = same and in_flight <= options.kills * CONCURRENCY and quiet["failed"] == end["failed"]
    print("1 passed, 0 failed" if holds else "0 passed, 1 failed")
    return 0 if holds else 1


def disturbed(
    work: Path, options: argparse.Namespace, proxy: Proxy
) -> tuple[list[int], Counter[str], dict[str, Any]]:
    """Answers kept at each kill, requests that came again, and what the last run said."""
    rng = random.Random(options.seed)
    goals = sorted(rng.sample(range(1, 2 * options.passages), options.kills))
    kept: list[int] = []
    for goal in goals:
        process = start(work, "killed", options, proxy.url)
        while process.poll() is None and answers(work / "killed") < goal:
            time.sleep(0.01)
        time.sleep(rng.random() / 2)
        if process.poll() is not None:
            raise SystemExit("the extraction ended before it was killed often enough")
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept.append(answers(work / "killed"))
        print(f"killed at {kept[-1]} answers", file=sys.stderr)
    last = start(work, "killed", options, proxy.url)
    said = json.loads(last.communicate()[0])
    return kept, Counter({k: n - 1 for k, n in Counter(proxy.asked).items() if n > 1}), said


def start(work: Path, name: str, options: argparse.Namespace, url: str) -> subprocess.Popen[bytes]:
    """The extraction, in a process of its own."""
    words = [work / name, work / "passages.json", options.tokens, CONCURRENCY]
    environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY}
    command = [sys.executable, "-c", CHILD, *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


def short_passages(count: int) -> list[list[str]]:
    """Id, text and title of `count` sentences of the sample corpus."""
    found = []
    for line in (ROOT / "data" / "sample" / "corpus.jsonl").open(encoding="utf-8"):
        record = json.loads(line)
        for number, (start, end) in enumerate(sentence_spans(record["text"])):
            name = f"{record['id']}-{number}"
            found.append([name, record["text"][start:end], record["title"]])
    return found[:count]


def answers(index: Path) -> int:
    """How many answers are kept."""
    file = index / "responses.sqlite"
    try:
        with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM responses").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def holds_one_of(text: str, failures: dict[str, str], work: Path) -> bool:
    """Whether a request is about one of the passages that failed."""
    passages = json.loads((work / "passages.json").read_text())
    return any(body in text for name, body, _ in passages if name in failures)


def snapshot(index: Path) -> dict[str, bytes]:
    """Every file of the live snapshot."""
    folder = index / (index / "CURRENT").read_text()
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


if __name__ == "__main__":
    sys.exit(main())
