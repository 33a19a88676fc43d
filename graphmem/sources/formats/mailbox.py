"""Mailboxes: every mail a document of its own."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content
from graphmem.sources.formats.mail import _BROKEN, content_of

_FROM = re.compile(rb"^From [^\n]*\n", re.MULTILINE)


def read(data: bytes) -> Iterator[Content]:
    """The mails in their order, each a part named by its number from 1.

    Raises:
        DataError: It does not begin with a mail.
    """
    data = data.replace(b"\r\n", b"\n")
    if data.strip() and not data.startswith(b"From "):
        raise DataError("no mailbox: it does not begin with 'From '")
    found = _FROM.finditer(data)
    starts = [m for m in found if m.start() == 0 or data[m.start() - 2 : m.start()] == b"\n\n"]
    ends = [*(match.start() for match in starts[1:]), len(data)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        raw = data[start.end() : end].replace(b"\n>From ", b"\nFrom ")
        try:
            yield content_of(
                email.message_from_bytes(raw, policy=email.policy.default), str(number)
            )
        except (*_BROKEN, DataError, RecursionError):
            yield Content("", part=str(number))
