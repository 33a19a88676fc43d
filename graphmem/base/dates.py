"""Whole dates in any spelling, as ISO 8601 writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import regex

_ENGLISH = "january february march april may june july august september october november december"
_OTHERS = {  # where they differ in more than marks, by number
    1: "januar jänner janvier enero gennaio januari janeiro",
    2: "februar février febrero febbraio februari fevereiro",
    3: "märz mars marzo maart março",
    4: "avril abril aprile",
    5: "mai mayo maggio mei maio",
    6: "juni juin junio giugno junho",
    7: "juli juillet julio luglio julho",
    8: "août agosto augustus",
    9: "septembre septiembre settembre setembro",
    10: "oktober octobre octubre ottobre outubro",
    11: "novembre noviembre novembro",
    12: "dezember décembre diciembre dicembre dezembro",
}
_MONTHS = {name: number for number, name in enumerate(_ENGLISH.split(), start=1)}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_MONTHS |= {name: number for number, names in _OTHERS.items() for name in names.split()}
_MONTH = rf"(?P<m>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\b\.?"
_DAY = r"(?P<d>\d{1,2})(?:st|nd|rd|th|er|\.|º)?"
_YEAR = r"(?P<y>[12]\d{3})(?!\d|[.,]\d)"
_DATE = regex.compile(
    r"(?<![\p{L}\p{N}]|\d[.,/-])(?:"
    r"(?P<y>[12]\d{3})(?P<s>[-/.])(?P<n>\d{1,2})(?P=s)(?P<d>\d{1,2})(?!\d|[-/.]\d)"
    r"|(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<y>[12]\d{3})(?!\d|[-/.]\d)"
    rf"|{_DAY}[ \xa0-]{{0,2}}(?:of[ ]|de[ ])?{_MONTH},?[ \xa0-]{{0,2}}(?:de[ ])?{_YEAR}"
    rf"|{_MONTH}[ \xa0]{_DAY},?[ \xa0]{_YEAR}"
    rf"|{_YEAR},?[ \xa0-]{_MONTH}[ \xa0-]{_DAY}(?![\p{{L}}\p{{N}}])"
    r"|(?P<y>[12]\d{3})年(?P<n>\d{1,2})月(?P<d>\d{1,2})日"
    r"|(?P<y>19\d\d|20\d\d)(?P<n>0[1-9]|1[0-2])(?P<d>[0-3]\d)(?![\p{L}\p{N}]))",
    regex.IGNORECASE,
)
_PERHAPS = regex.compile(r"[12]\d{3}")
_BEFORE, _AFTER = 28, 24  # characters of a date and its borders on both sides of the year

Date = tuple[int, int, tuple[str, ...]]
"""Where a date stands [start, end), and the days that it can mean, one or two."""


def find_dates(text: str) -> list[Date]:
    """The whole dates of a text, in order.

    Where day and month could change places, another date of the text tells, or both are meant.

    >>> [days for _, _, days in find_dates("7 April 1993, Apr. 8th, 1993 or 1993-04-09")]
    [('1993-04-07',), ('1993-04-08',), ('1993-04-09',)]
    >>> find_dates("on 03/04/1993")
    [(3, 13, ('1993-03-04', '1993-04-03'))]
    >>> find_dates("from 13/04/1993 to 03/05/1993")[1]
    (19, 29, ('1993-05-03',))
    """
    found: list[regex.Match[str]] = []
    for year in _PERHAPS.finditer(text):
        start = max(found[-1].end() if found else 0, year.start() - _BEFORE)
        found += _DATE.finditer(text, start, year.end() + _AFTER)
    order = _orders(found)
    dates = []
    for match in found:
        if days := _days(match, order):
            dates.append((*match.span(), days))
    return dates


def whole_date(text: str) -> tuple[str, ...]:
    """The days that a text means which is a date and nothing else.

    >>> whole_date("April 7, 1993"), whole_date("after April 7, 1993")
    (('1993-04-07',), ())
    """
    match = _DATE.fullmatch(text.strip())
    return _days(match, _orders([match])) if match else ()


def _orders(found: Sequence[regex.Match[str]]) -> tuple[bool, bool]:
    """Whether numbers alone can stand with the day first, and with the month first."""
    pairs = [(int(m["a"]), int(m["b"])) for m in found if m["a"] and m["s"] != "."]
    day, month = any(a > 12 for a, _ in pairs), any(b > 12 for _, b in pairs)
    return (day or not month), (month or not day)


def _days(match: regex.Match[str], order: tuple[bool, bool]) -> tuple[str, ...]:
    year = int(match["y"])
    if match["a"]:
        a, b = int(match["a"]), int(match["b"])
        day_first, month_first = (True, False) if match["s"] == "." else order
        readings = [(b, a)] * (day_first or b > 12 >= a) + [(a, b)] * (month_first or a > 12 >= b)
        readings = [(month, day) for month, day in readings if month <= 12] or [(a, b)]
    else:
        month = int(match["n"]) if match["n"] else _MONTHS[match["m"].lower()]
        readings = [(month, int(match["d"]))]
    return tuple(sorted({day for month, number in readings if (day := _iso(year, month, number))}))


def _iso(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return ""
