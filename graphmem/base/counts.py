"""How many there are of a thing, as messages say it."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """The number with its noun, which has its plural form but for one.

    >>> counted(1, "passage"), counted(0, "passage"), counted(1070, "entity")
    ('1 passage', '0 passages', '1,070 entities')
    """
    if count == 1:
        return f"1 {thing}"
    return f"{count:,} {thing[:-1]}ies" if thing.endswith("y") else f"{count:,} {thing}s"
