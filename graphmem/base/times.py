"""When something was: a time as people and programs write it, as the span that it covers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import regex

from graphmem.base.dates import find_dates

Span = tuple[datetime, datetime]
"""From, and up to but without, in UTC."""

_YEAR_OR_MONTH = regex.compile(r"([0-9]{4})(?:-(0[1-9]|1[0-2]))?")
_LONGEST = 100  # characters: what is longer is a text that may name a date, and no time
_LEAST_SECONDS, _MOST_SECONDS = 1e8, 1e11  # Unix time from 1973 on; larger ones are milliseconds


def time_span(value: Any) -> Span | None:
    """The span of a time: a year, a month, a day, or an instant; None where it is none.

    Read are ISO 8601 (years and months alone too), dates in prose, the dates of mails, and Unix
    time in seconds or milliseconds. A time without a zone is in UTC. A text with two dates, or one
    whose day and month could change places, says no time.

    >>> [moment.isoformat() for moment in time_span("2023-05")]
    ['2023-05-01T00:00:00+00:00', '2023-06-01T00:00:00+00:00']
    >>> time_span("1:56 pm on 8 May, 2023") == time_span("2023-05-08")
    True
    >>> time_span("2023-05-08T12:00+02:00")[0].isoformat(), time_span(1683540000)[0].isoformat()
    ('2023-05-08T10:00:00+00:00', '2023-05-08T10:00:00+00:00')
    >>> time_span("03/04/2023"), time_span("in spring")
    (None, None)
    """
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return _unix_time(float(value))
        if isinstance(value, str) and len(value) <= _LONGEST:
            return _written(value.strip())
    except (ValueError, OverflowError, OSError, TypeError):  # no such day, or one out of reach
        return None
    return None


def _unix_time(seconds: float) -> Span | None:
    if abs(seconds) < _LEAST_SECONDS:
        return None  # a year, a count
    return _instant(
        datetime.fromtimestamp(seconds if abs(seconds) < _MOST_SECONDS else seconds / 1000, UTC)
    )


def _written(text: str) -> Span | None:
    if found := _YEAR_OR_MONTH.fullmatch(text):
        year, month = int(found[1]), int(found[2] or 0)
        ends_year = month in (0, 12)
        return _midnight(year, month or 1, 1), _midnight(
            year + ends_year, 1 if ends_year else month + 1, 1
        )
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return _day(day)
    try:
        return _instant(datetime.fromisoformat(text))
    except ValueError:
        pass
    try:
        return _instant(parsedate_to_datetime(text))
    except ValueError:
        pass
    days = [days for _, _, days in find_dates(text)]
    if len(days) != 1 or len(days[0]) != 1:
        return None
    return _day(date.fromisoformat(days[0][0]))


def _day(day: date) -> Span:
    start = _midnight(day.year, day.month, day.day)
    return start, start + timedelta(days=1)


def _midnight(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def _instant(moment: datetime) -> Span:
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment, moment + timedelta.resolution
