"""Org mode: by orgparse to headings and texts."""

from __future__ import annotations

from collections.abc import Iterator

import orgparse
from orgparse.node import OrgRootNode

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, heading, join_blocks

_LONGEST_LINE, _MOST_LINKS, _MOST_STAMPS = 20_000, 500, 100
"""Characters of a line, and links, and time stamps in a line, that are begun and not ended: the
parser takes the square of the time."""


def read(text: str) -> Iterator[Content]:
    """One document; its title is that of #+TITLE. Drawers and time stamps of its planning go.

    A text with a very long line, or full of links or dates without an end, stays as it stands.

    Raises:
        DataError: It cannot be read as Org.
    """
    lines = text.split("\n")
    if (
        max(map(len, lines)) > _LONGEST_LINE
        or max(part.count("<") for line in lines for part in line.split(">")) > _MOST_STAMPS
        or max(part.count("[[") for part in text.split("]")) > _MOST_LINKS
    ):
        yield Content(text)
        return
    try:
        root: OrgRootNode = orgparse.loads(text)
        title = " ".join(root.get_file_property_list("TITLE"))
        blocks = [_body(root.body)]
        for node in root[1:]:
            blocks += [heading(node.level, node.heading), _body(node.body)]
    except (ValueError, AttributeError, IndexError, TypeError, RecursionError) as error:
        raise DataError(f"no Org file: {error}") from error
    yield Content(join_blocks(blocks), title)


def _body(text: str) -> str:
    """Without keyword lines; blocks of source become code."""
    lines = []
    for line in text.split("\n"):
        low = line.strip().lower()
        if low.startswith(("#+begin_src", "#+begin_example")):
            lines.append("```" + " ".join(low.split()[1:2]))
        elif low.startswith(("#+end_src", "#+end_example")):
            lines.append("```")
        elif not low.startswith("#+"):
            lines.append(line)
    return "\n".join(lines).strip()
