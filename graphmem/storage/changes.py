"""What others that come in may do to the passages of an index, and what they did."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final

import regex

_PLACE = regex.compile(r"(:\d+|: item \d+)\Z")


@dataclass(frozen=True, slots=True)
class Changes:
    """Numbers of passages.

    Attributes:
        added: Whose id is new.
        replaced: Whose id was there with another text, title or metadata.
        deleted: Whose id is there no more.
    """

    added: int = 0
    replaced: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """What may become of passages that are there when others are added.

    Attributes:
        replaces: A text that comes again takes the place of the one that is there, with all its
            pieces; where it does not, another text under the same id is an error.
        names: Ids of the texts that come in, before they are cut; None is whatever comes. Of
            others, which are pieces already, each takes the place of the same piece alone.
        drops: What came from a file that was read whole, or that is no more in one of `folders`,
            and did not come again is deleted.
        whole: Absolute paths of the files read whole; grows while passages come in.
        folders: Absolute paths of the folders that were read.
    """

    replaces: bool = False
    names: Container[str] | None = None
    drops: bool = False
    whole: set[str] = field(default_factory=set)
    folders: tuple[str, ...] = ()

    def is_whole(self, name: str) -> bool:
        """Whether the text of this id comes in with all its pieces."""
        return self.names is None or name in self.names

    def drops_source(self, source: str) -> bool:
        """Whether what was read there, and did not come again, is deleted."""
        file = file_of(source)
        if not self.drops or not file:
            return False
        return file in self.whole or (
            any(file.startswith(os.path.join(folder, "")) for folder in self.folders)
            and _is_gone(source)
        )

    def may_replace(self, old: str, new: str) -> bool:
        """Whether what comes from `new` may take the place of what came from `old`.

        It may not take it from another file that is still there and was not read again.
        """
        there, here = file_of(old), file_of(new)
        return not there or not here or there == here or there in self.whole or _is_gone(old)


ADD_ONLY: Final = ChangeRule()
"""Nothing that is there changes."""


def file_of(source: str) -> str:
    """Absolute path of the file in a `Passage.source`; "" where it came from no file.

    >>> file_of("/data/a.jsonl:12"), file_of("/data/a.json: item 3"), file_of("/data/a.txt")
    ('/data/a.jsonl', '/data/a.json', '/data/a.txt')
    >>> file_of("-:4"), file_of("")
    ('', '')
    """
    file = _PLACE.sub("", source)
    return "" if file in ("", "-") else os.path.abspath(file)


def place_of(source: str) -> tuple[str, int | None, str]:
    """File, line and item of a `Passage.source` that came from a file or standard input.

    >>> place_of("/data/a.jsonl:12"), place_of("/data/a.json: item 3"), place_of("-:4")
    (('/data/a.jsonl', 12, ''), ('/data/a.json', None, 'item 3'), ('-', 4, ''))
    """
    file = _PLACE.sub("", source)
    place = source[len(file) :].removeprefix(":").strip()
    return (file, int(place), "") if place.isdecimal() else (file, None, place)


def _is_gone(source: str) -> bool:
    # A file may be named like a place in another one: "notes:12".
    return not os.path.lexists(source) and not os.path.lexists(file_of(source))
