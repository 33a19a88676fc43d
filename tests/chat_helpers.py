"""A chat server on 127.0.0.1 that misbehaves on purpose, and what the tests ask it."""

import hashlib
import json
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from graphmem.types import ChatRequest, Message, Passage

KEY = "sk-very-secret-1234"


class ChatServer:
    """`script` holds what the next calls get, then `default` answers; both count in `calls`.

    A step is (status, headers, body), or a function of the request giving one; a body is bytes or
    a JSON value.
    """

    def __init__(self, default=None):
        self.calls = []
        self.keys = []
        self.times = []
        self.script = []
        self.default = default or say("Ada.")
        self.running = self.most = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if len(data) < int(self.headers["Content-Length"]):
                    return  # the client was killed
                request = json.loads(data)
                with outer.lock:
                    outer.calls.append(request)
                    outer.times.append(time.monotonic())
                    outer.keys.append(self.headers.get("Authorization"))
                    outer.running += 1
                    outer.most = max(outer.most, outer.running)
                    step = outer.script.pop(0) if outer.script else outer.default
                try:
                    step = step(request) if callable(step) else step
                finally:  # before the answer: whoever has read it may ask again at once
                    with outer.lock:
                        outer.running -= 1
                with suppress(ConnectionError):  # the client may have lost patience
                    self.answer(*step)

            def answer(self, status, headers, body):
                data = body if isinstance(body, bytes | list) else json.dumps(body).encode()
                parts = data if isinstance(data, list) else [data]
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(sum(map(len, parts))))
                self.end_headers()
                for part in parts:
                    self.wfile.write(part)
                    self.wfile.flush()
                    if len(parts) > 1:
                        time.sleep(0.1)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


def outcomes_of(extractor, passages, pack=1):
    """Outcome of every passage, by its place, as they come."""
    packs = [passages[start : start + pack] for start in range(0, len(passages), pack)]
    for number, outcomes in extractor.extract_each(packs):
        yield from enumerate(outcomes, start=number * pack)


@contextmanager
def running_chat_server(default=None):
    server = ChatServer(default)
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()


def say(text, finish="stop", usage=(11, 5)):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    choice["finish_reason"] = finish
    body = {"id": "1", "object": "chat.completion", "model": "fake", "choices": [choice]}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return 200, {}, body


def refuse(words, **more):
    return 400, {}, {"error": {"message": words, "type": "invalid_request_error", **more}}


def stream_of(*pieces, usage=(11, 5), end=True):
    """A streamed answer, piece by piece."""

    def event(delta, finish=None, **more):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        body = {"id": "1", "object": "chat.completion.chunk", "choices": [choice], **more}
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    parts = [event({"role": "assistant"}), *(event({"content": piece}) for piece in pieces)]
    if end:
        counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]} if usage else None
        parts += [event({}, "stop", **({"usage": counts} if counts else {})), b"data: [DONE]\n\n"]
    return 200, {"Content-Type": "text/event-stream"}, parts


def hang(request, seconds=60.0):
    """Answers long after everybody's deadline."""
    time.sleep(seconds)
    return say("too late")


def ask(text="Who?", schema=None, **more):
    return ChatRequest((Message("user", text),), schema, **{"max_tokens": 50, **more})


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def passage(number, text=""):
    return Passage(f"p{number}", text or f"Town {number} lies on River {number}.", f"Town {number}")


def names_of(text):
    """Capitalised word and number, as the passages above have them, told by the last turn only."""
    words = text.replace(".", " ").replace('"', " ").replace(",", " ").replace("]", " ").split()
    pairs = zip(words, words[1:], strict=False)
    return list(dict.fromkeys(f"{a} {b}" for a, b in pairs if a[:1].isupper() and b.isdigit()))


def extraction_text(messages):
    """The answer of a well-behaved model to either extraction prompt."""
    asked = messages[3]  # after the system prompt and one worked example; a repair comes later
    asked = asked["content"] if isinstance(asked, dict) else asked.content
    names = names_of(asked.split("Named entities:")[0])
    if "Named entities:" in asked:
        triples = [[names[0], "lies on", name] for name in names[1:]]
        return json.dumps({"triples": triples}, ensure_ascii=False)
    return json.dumps({"entities": names}, ensure_ascii=False)


def extract_reply(request):
    return say(extraction_text(request["messages"]))


def prompt_hash(request):
    return hashlib.sha256(json.dumps(request["messages"]).encode()).hexdigest()
