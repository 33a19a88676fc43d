"""Mail: what its writer says, without what is quoted and without signatures' marks."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.errors import MessageError
from email.message import EmailMessage

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, join_blocks, one_line
from graphmem.sources.formats.html import to_markdown

_FIELDS = ("From", "To", "Cc", "Date", "Message-ID", "In-Reply-To")
_LONGEST_HEAD = 100_000
"""Characters of the fields of a part: the parser takes the square of the time."""
_BROKEN = (MessageError, ValueError, LookupError, AttributeError, TypeError, IndexError)


def read(data: bytes) -> Iterator[Content]:
    """One mail. Its subject is the title; sender, receivers and date are metadata.

    Raises:
        DataError: It is no mail.
    """
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        if not any(name in message for name in ("From", "Subject", "Date", "Message-ID")):
            raise DataError("no mail: it has no sender, subject or date")
        yield content_of(message)
    except _BROKEN as error:
        raise DataError(f"a damaged mail: {error}") from error


def content_of(message: EmailMessage, part: str = "") -> Content:
    """A mail's text, with its head in the first line.

    Raises:
        DataError: The fields of its head are too long.
    """
    for item in message.walk():
        if sum(len(str(value)) for _, value in item.raw_items()) > _LONGEST_HEAD:
            raise DataError("a damaged mail: its head is too long")
    subject = one_line(str(message.get("Subject") or ""))
    said = {name: one_line(str(message.get(name) or "")) for name in _FIELDS}
    metadata = {name.lower().replace("-", "_"): value for name, value in said.items() if value}
    names = [f"{name}: {said[name]}" for name in ("From", "To", "Date") if said[name]]
    body = _body(message)
    attached = [name for item in message.iter_attachments() if (name := item.get_filename())]
    if attached:
        metadata["attachments"] = ", ".join(map(one_line, attached))
    return Content(
        join_blocks(["\n".join(names), body]) if body else "", subject, metadata, (), part
    )


def _body(message: EmailMessage) -> str:
    found = message.get_body(("plain", "html"))
    if found is None:
        return ""
    payload = found.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    try:
        text = raw.decode(found.get_content_charset("utf-8"), "replace")
    except LookupError:
        text = raw.decode("utf-8", "replace")
    if found.get_content_subtype() == "html":
        text = to_markdown(text)
    return without_quotes(text)


def without_quotes(text: str) -> str:
    r"""What the writer of a mail adds to the thread.

    >>> without_quotes("Yes, on Monday.\n\nOn Tue, 3 Mar 2020, Ada wrote:\n> When?\n")
    'Yes, on Monday.'
    """
    from mailparser_reply import EmailReplyParser

    parsed = EmailReplyParser(languages=["en", "de", "fr", "es", "it", "nl"]).read(text=text)
    latest: str = parsed.latest_reply or ""
    kept = [line for line in latest.split("\n") if not line.lstrip().startswith(">")]
    return "\n".join(kept).strip()
