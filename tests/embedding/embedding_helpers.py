"""What the embedding tests are made of: a server, and caches with weights."""

import json
import os
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def link_weights(package, source, cache):
    """Link the files of a model in one cache into another one."""
    folder = cache / "models" / package.model
    folder.mkdir(parents=True)
    for name in package.files:
        os.symlink(source / "models" / package.model / name, folder / name)


class FakeServer:
    """An embeddings server on 127.0.0.1; `script` holds what the next calls get, then it is good.

    A step is (status, headers, body) or a function of the request giving one.
    """

    def __init__(self):
        self.calls = []
        self.keys = []
        self.script = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.calls.append(request)
                outer.keys.append(self.headers.get("Authorization"))
                step = outer.script.pop(0) if outer.script else good_answer
                status, headers, body = step(request) if callable(step) else step
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with suppress(ConnectionError):  # the client may have lost patience
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


def vector_of(text):
    """An unnormalised vector that depends on the text only."""
    seed = int.from_bytes(text.encode()[:64].ljust(8, b"."), "little") % 2**63
    return (np.random.default_rng(seed).standard_normal(16) * 3).tolist()


def answer_with(rows):
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return 200, {}, {"object": "list", "data": rows, "model": "fake", "usage": usage}


def good_answer(request):
    rows = [
        {"object": "embedding", "index": i, "embedding": vector_of(text)}
        for i, text in enumerate(request["input"])
    ]
    return answer_with(rows[::-1])  # any order is allowed: the index counts


def hang(request):
    """Answers long after everybody's deadline."""
    time.sleep(60)
    return good_answer(request)


@contextmanager
def running_server():
    server = FakeServer()
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()
