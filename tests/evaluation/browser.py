"""Headless Chromium, spoken to over two pipes in its DevTools protocol; no driver needed."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    *("--headless", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars"),
    *("--no-first-run", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)


class Tab:
    """One page; collects what the browser reports of it."""

    def __init__(self, commands, answers):
        self.events = []
        self._commands, self._answers = commands, answers
        self._last = 0
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Send a command and wait for its answer; events that come before it are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._read()).get("id") != self._last:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _read(self):
        parts = []
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            parts.append(byte)
        return json.loads(b"".join(parts))

    def open(self, url, width=1280, height=900, scheme="light"):
        """Load a page at a size and in a colour scheme, and wait until it is drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        before = len(self.events)
        self.call("Page.navigate", url=url)
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events[before:]):
            self.events.append(self._read())

    def evaluate(self, expression):
        """Value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path):
        """Write a picture of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def of(self, *methods):
        """Parameters of the events with these names."""
        return [e["params"] for e in self.events if e.get("method") in methods]


@contextmanager
def chromium(profile):
    """A tab of a fresh Chromium, which ends with the block."""
    # The browser reads commands at 3 and writes to 4: copies with high numbers are out of the way.
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (to_browser, from_browser)]
    os.close(to_browser)
    os.close(from_browser)
    arguments = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")

    def place():
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        arguments, pass_fds=(3, 4), preexec_fn=place, stderr=subprocess.DEVNULL
    )
    for fd in high:
        os.close(fd)
    try:
        with os.fdopen(commands, "wb") as out, os.fdopen(answers, "rb") as back:
            yield Tab(out, back)
    finally:
        process.terminate()
        process.wait(timeout=30)
